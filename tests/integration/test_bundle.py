"""`make bundle` and its install.sh, with tiny packages that are made here and no index."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import venv
from collections.abc import Sequence
from pathlib import Path
from random import Random
from zipfile import ZipFile

import pytest

from deploy.bundle import (
    Target,
    Wheel,
    collect_wheels,
    describe_contents,
    find_nltk_data,
    main,
    name_data,
    write_parts,
)
from kpray.errors import UserError
from kpray.text.perceptron import NLTK_TAGGER
from tests.commands import ROOT, Finished

HERE = Target(f"3.{sys.version_info.minor}", 17, platform.machine())
PART_BYTES = 5_000

# Builds a wheel by copying one that is in the same folder.
BACKEND = """
import pathlib, shutil
def build_wheel(folder, settings=None, metadata=None):
    wheel, = pathlib.Path().glob("*.whl")
    shutil.copy(wheel, folder)
    return wheel.name
"""


def write_wheel(
    folder: Path, name: str, *requires: str, version: str = "1.0", tag: str = "py3-none-any", value: str = ""
) -> Wheel:
    """A package with one module, whose `VALUE` is given."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    extras = dict.fromkeys(re.findall(r"extra == '(\w+)'", " ".join(requires)))
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [*(f"Provides-Extra: {extra}" for extra in extras), *(f"Requires-Dist: {each}" for each in requires)]
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VALUE = {value!r}\n",
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = f"{info}/RECORD"
    with ZipFile(path, "w") as archive:
        for file, text in {**files, record: "".join(f"{file},,\n" for file in [*files, record])}.items():
            archive.writestr(file, text)
    return Wheel.read(path)


def write_source(folder: Path, wheel: Wheel) -> None:
    """A package as source code, which builds into a wheel."""
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": build.encode(), "backend.py": BACKEND.encode(), wheel.path.name: wheel.path.read_bytes()}
    files["PKG-INFO"] = f"Metadata-Version: 2.1\nName: {wheel.name}\nVersion: {wheel.version}\n".encode()
    with tarfile.open(folder / f"{wheel.name}-{wheel.version}.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{wheel.name}-{wheel.version}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip finds packages, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def collect(
    project: Wheel, folder: Path, *extras: str, target: Target = HERE, have: Sequence[str] = ()
) -> tuple[set[str], set[str]]:
    """Names of the wheels that are found, and of the packages that are left out."""
    folder.mkdir()
    found, left_out = collect_wheels(project, extras, target, have, folder)
    assert {wheel.path for wheel in found.values()} == set(folder.iterdir())
    return set(found), left_out


@pytest.mark.slow
def test_wheels_are_those_that_the_other_machine_needs(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "below")
    write_wheel(index, "shared")
    write_wheel(index, "new_only")
    write_wheel(index, "with_extra", "shared; extra == 'more'", "below ; extra == 'other'")
    write_wheel(index, "compiled", tag=f"cp399-cp399-manylinux_2_12_{HERE.processor}")
    write_wheel(index, "compiled", tag=f"cp399-cp399-manylinux_2_18_{HERE.processor}", version="2.0")
    project = write_wheel(
        tmp_path / "project",
        "tiny",
        "with-extra[more]",
        "new.only; python_version >= '3.399'",
        "nowhere; sys_platform == 'win32'",
        "compiled ; extra == 'fast'",
        "nowhere ; extra == 'test'",
    )
    assert collect(project, tmp_path / "a") == ({"with-extra", "shared"}, set())
    newer = Target("3.99", 17, HERE.processor)
    assert collect(project, tmp_path / "b", "fast", target=newer) == ({"with-extra", "shared", "compiled"}, set())
    assert [path.name[:12] for path in (tmp_path / "b").glob("comp*")] == ["compiled-1.0"]
    newest = Target("3.400", 17, HERE.processor)
    assert collect(project, tmp_path / "c", target=newest) == ({"with-extra", "shared", "new-only"}, set())


@pytest.mark.slow
def test_what_the_machine_has_is_left_out_with_what_only_it_needs(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "big", "only_big", "shared")
    write_wheel(index, "only_big")
    write_wheel(index, "small", "shared", "big")
    write_wheel(index, "shared")
    project = write_wheel(tmp_path / "project", "tiny", "Big>=1", "small")
    assert collect(project, tmp_path / "a") == ({"big", "only-big", "small", "shared"}, set())
    assert collect(project, tmp_path / "b", have=["big", "other"]) == ({"small", "shared"}, {"big"})
    for wheel in index.glob("big-*"):
        wheel.unlink()  # it is not looked for either
    assert collect(project, tmp_path / "c", have=["big"]) == ({"small", "shared"}, {"big"})


def test_a_package_without_a_wheel_is_named(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "good")
    write_wheel(index, "compiled", tag=f"cp310-cp310-manylinux_2_17_{HERE.processor}")
    project = write_wheel(tmp_path / "project", "tiny", "good", "compiled>=1")
    with pytest.raises(UserError, match=r"no wheel of compiled>=1 for Python 3\.\d+ on manylinux_2_17_"):
        collect(project, tmp_path / "a")


def test_versions_that_contradict_each_other_are_named(index: Path, tmp_path: Path) -> None:
    write_wheel(index, "first", "second<2")
    write_wheel(index, "second", version="1.0")
    write_wheel(index, "second", version="2.0")
    project = write_wheel(tmp_path / "project", "tiny", "second", "first")
    with pytest.raises(UserError, match=r"need second<2, and 2\.0 was chosen \(change second in constraints\.txt\)"):
        collect(project, tmp_path / "a")


@pytest.mark.slow
def test_source_code_in_pure_python_is_built(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.bundle.SOURCES", ("pure", "compiled"))
    write_wheel(index, "below")
    write_source(index, write_wheel(tmp_path / "other", "pure", "below"))
    project = write_wheel(tmp_path / "project", "tiny", "pure")
    assert collect(project, tmp_path / "a") == ({"pure", "below"}, set())

    write_source(index, write_wheel(tmp_path / "other", "compiled", tag="cp36-cp36m-linux_x86_64"))
    project = write_wheel(tmp_path / "project", "tiny", "compiled")
    with pytest.raises(UserError, match=r"compiled was built as compiled-1\.0-cp36-cp36m-linux_x86_64\.whl"):
        collect(project, tmp_path / "b")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an empty virtual environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=True)
    return folder / "bin/python"


def make_bundle(folder: Path, *, value: str = "one", target: Target = HERE, left_out: Sequence[str] = ()) -> Path:
    """A bundle of a package that needs another, of data for NLTK, and of a file."""
    folder.mkdir()
    needed = write_wheel(folder / "wheels", "needed", value="needed")
    project = write_wheel(folder / "project", "tiny", "needed; extra == 'more'", *left_out, value=value)
    tagger = folder / NLTK_TAGGER
    tagger.mkdir()
    (tagger / "weights.json").write_text("{}")
    notes = folder / "notes.bin"
    notes.write_bytes(Random(0).randbytes(3 * PART_BYTES))  # cannot be compressed
    contents = describe_contents(project, ["more"], target, left_out, folder) | name_data([notes])
    contents |= {f"wheels/{needed.path.name}": needed.path, f"nltk_data/taggers/{NLTK_TAGGER}": tagger}
    bundle = folder / "bundle"
    bundle.mkdir()
    write_parts(contents, bundle, PART_BYTES)
    return bundle


def install(bundle: Path, python: Path | str) -> Finished:
    """Run install.sh as on a machine without any settings of pip."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(bundle), "PYTHON": str(python), "PIP_CONFIG_FILE": os.devnull}
    command = ["sh", str(bundle / "install.sh")]
    ran = subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    return Finished(ran.returncode, ran.stdout, ran.stderr)


def value_of(module: str, python: Path) -> str:
    """What is installed, or an empty string."""
    code = f"import {module}; print({module}.VALUE)"
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    return ran.stdout.strip()


def test_a_bundle_is_installed_from_its_parts(environment: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "a")
    parts = sorted(bundle.glob("part-*"))
    assert [part.name for part in parts] == [f"part-{number:03}" for number in range(1, len(parts) + 1)]
    assert len(parts) >= 4
    assert [part.stat().st_size for part in parts[:-1]] == [PART_BYTES] * (len(parts) - 1)
    sums = [f"{hashlib.sha256(part.read_bytes()).hexdigest()}  {part.name}" for part in parts]
    assert (bundle / "SHA256SUMS").read_text().splitlines() == sums

    ran = install(bundle, environment)
    assert (ran.code, ran.err) == (0, "")
    assert (value_of("tiny", environment), value_of("needed", environment)) == ("one", "needed")
    weights = environment.parents[1] / "nltk_data/taggers" / NLTK_TAGGER / "weights.json"
    assert weights.read_text() == "{}"
    assert (bundle / "data/notes.bin").read_bytes() == Random(0).randbytes(3 * PART_BYTES)

    # A later build of the same version replaces it.
    assert install(make_bundle(tmp_path / "b", value="two"), environment).code == 0
    assert value_of("tiny", environment) == "two"


def test_equal_contents_give_equal_parts(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(Random(number).randbytes(2000))
    sums = []
    for name, modified in (("a", 0), ("b", 10**9)):
        (tmp_path / name).mkdir()
        for path in [folder, *folder.iterdir()]:
            os.utime(path, (modified, modified))
        write_parts({"data/corpus": folder}, tmp_path / name, PART_BYTES)
        sums.append((tmp_path / name / "SHA256SUMS").read_text())
    assert sums[0] == sums[1]
    assert len(sums[0].splitlines()) == 3


@pytest.mark.parametrize("damage", ["missing", "changed", "shorter"])
def test_a_damaged_part_stops_the_installation(damage: str, environment: Path, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "a", value="damaged")
    part = bundle / "part-002"
    content = part.read_bytes()
    if damage == "missing":
        part.unlink()
    else:
        part.write_bytes(content[:-1] if damage == "shorter" else bytes([content[0] ^ 1]) + content[1:])
    ran = install(bundle, environment)
    assert ran.code == 2
    assert "part-002: FAILED" in ran.out + ran.err
    assert "install.sh: a part is missing or damaged: copy it again" in ran.err
    assert value_of("tiny", environment) != "damaged"


@pytest.mark.parametrize(
    ("target", "left_out", "message"),
    [
        (Target("3.99", 17, HERE.processor), [], r"the bundle is for Python 3\.99, and \S+ is 3\.\d+: set PYTHON"),
        (
            Target(HERE.python, 999, HERE.processor),
            [],
            r"the bundle is for glibc 2\.999 on .+ this machine has glibc 2",
        ),
        (
            Target(HERE.python, 17, "abacus"),
            [],
            "on abacus, and this machine has glibc .* make one with another PLATFORM",
        ),
        (HERE, ["torch", "no-such"], "does not have no-such, torch, which the bundle leaves out"),
    ],
)
def test_another_machine_than_the_bundle_is_for(
    target: Target, left_out: list[str], message: str, environment: Path, tmp_path: Path
) -> None:
    ran = install(make_bundle(tmp_path / "a", value="wrong", target=target, left_out=left_out), environment)
    assert ran.code != 0
    assert re.fullmatch(f"install.sh: .*{message}.*\n", ran.err)
    assert value_of("tiny", environment) != "wrong"


def test_python_that_does_not_exist(tmp_path: Path) -> None:
    ran = install(make_bundle(tmp_path / "a"), "/no/python")
    assert (ran.code, ran.err) == (2, "install.sh: /no/python is no Python with pip: set PYTHON to one\n")


def test_too_many_parts(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(Random(0).randbytes(2000))
    with pytest.raises(UserError, match="more than 999 parts"):
        write_parts({"big": big}, tmp_path, 1)


def test_data_is_named_by_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.txt").touch()
    (tmp_path / "a/b.txt").touch()
    assert name_data([tmp_path / "a", tmp_path / "b.txt"]) == {
        "data/a": tmp_path / "a",
        "data/b.txt": tmp_path / "b.txt",
    }
    with pytest.raises(UserError, match="have the same name"):
        name_data([tmp_path / "a/b.txt", tmp_path / "b.txt"])


def test_nltk_data_is_looked_for_where_nltk_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "none"), str(tmp_path)])
    with pytest.raises(UserError, match=r"was not found \(run `kpray download-nltk`, or set NLTK_DATA"):
        find_nltk_data()
    folder = tmp_path / "taggers" / NLTK_TAGGER
    folder.mkdir(parents=True)
    assert find_nltk_data() == folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--python", "three"], "python: 'three' is not a version of Python (for example 3.12)"),
        (["--python", "3.9"], "python: kpray needs Python >=3.11, not 3.9"),
        (["--platform", "win"], "platform: 'win' is not manylinux_2_N_PROCESSOR (for example manylinux_2_28_x86_64)"),
        (["--part-mb", "x"], "--part-mb is 'x' (it should be an integer)"),
        (["--part-mb", "0"], "--part-mb is '0' (it should be greater than 0)"),
        (["--extras", "offline", "nope"], "extras: kpray has no extra 'nope' (known: cluster, cpu"),
        (["--data", "/no/file"], "/no/file: there is no such file or folder"),
    ],
)
def test_a_users_mistake_is_one_line(options: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        main(options, "bundle.py")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ([], ""),
        (["EXTRAS="], "--extras"),
        (["PYTHON=3.12", "PLATFORM=manylinux_2_28_x86_64"], "--python 3.12 --platform manylinux_2_28_x86_64"),
        (["PART_MB=40", "EXTRAS=cpu,offline"], "--part-mb 40 --extras cpu offline"),
        (["HAVE=torch numpy", "DATA=a b"], "--have torch numpy --data a b"),
    ],
)
def test_make_passes_the_options_on(variables: list[str], options: str) -> None:
    command = ["make", "--dry-run", "--old-file=.venv/.kpray-setup", "bundle", *variables]
    # `make test` would pass its own options on, and `make` would then name the folders that it enters.
    others = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ran = subprocess.run(command, cwd=ROOT, env=others, capture_output=True, text=True, check=True)
    assert ran.stdout.replace("\\\n", "").split() == [".venv/bin/python", "deploy/bundle.py", *options.split()]
