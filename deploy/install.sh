#!/bin/sh
# Installs kpray from the parts next to this file, without a network:
#   sh install.sh                             into the environment of `python`
#   PYTHON=/opt/venv/bin/python sh install.sh into the environment of this interpreter
# It unpacks into TMPDIR (default /tmp) first. Chosen data is written to `data` next to this file.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$(command -v python || command -v python3 || echo python3)}

fail() {
    echo "install.sh: $1" >&2
    exit 2
}

cd "$here"
sha256sum --check --quiet SHA256SUMS || fail "a part is missing or damaged: copy it again"
"$python" -c "import pip" 2>/dev/null || fail "$python is no Python with pip: set PYTHON to one"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cut -c 67- SHA256SUMS | xargs cat | tar -xzf - -C "$work"

# What the bundle was made for must be here: pip would only say that it finds no matching wheel.
"$python" - "$work/machine.json" <<'END'
import json, os, platform, sys
from importlib.metadata import PackageNotFoundError, version

with open(sys.argv[1], encoding="utf-8") as file:
    machine = json.load(file)

def fail(text):
    sys.exit(f"install.sh: {text}")

python = "{}.{}".format(*sys.version_info)
if python != machine["python"]:
    fail(f"the bundle is for Python {machine['python']}, and {sys.executable} is {python}: set PYTHON to another")
glibc = platform.libc_ver()
if platform.machine() != machine["processor"] or glibc[0] != "glibc" or int(glibc[1].split(".")[1]) < machine["glibc"]:
    fail(f"the bundle is for glibc 2.{machine['glibc']} on {machine['processor']}, and this machine has "
         f"{' '.join(glibc)} on {platform.machine()}: make one with another PLATFORM")
missing = []
for name in machine["have"]:
    try:
        version(name)
    except PackageNotFoundError:
        missing.append(name)
if missing:
    fail(f"{sys.executable} does not have {', '.join(missing)}, which the bundle leaves out: make one with another HAVE")
END

echo "installing from $(ls "$work/wheels" "$work/project" | grep -c whl) wheels"
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
pip install --quiet --no-index --find-links "$work/wheels" --find-links "$work/project" \
    --requirement "$work/requirements.txt" ||
    fail "pip could not install it: a package that the bundle leaves out may be too old in this environment"
# pip keeps an installed kpray of the same version, which may be an older build.
pip install --quiet --no-index --no-deps --force-reinstall "$work"/project/*.whl

# NLTK searches both folders. Not everybody may write into the first.
nltk=$("$python" -c 'import os, sys; print(sys.prefix if os.access(sys.prefix, os.W_OK) else os.path.expanduser("~"))')
if [ -d "$work/nltk_data" ]; then
    cp -R "$work/nltk_data" "$nltk/"
    echo "NLTK's data: $nltk/nltk_data"
fi
if [ -d "$work/data" ]; then
    cp -R "$work/data" "$here/"
    echo "data: $here/data"
fi
echo "installed for $python"
