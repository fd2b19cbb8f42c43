"""Pack kpray, the packages that it needs, NLTK's data and chosen data into parts, for a machine without a network."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from zipfile import ZipFile

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pydantic import Field

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:  # run as a script
    sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
from kpray.errors import UserError
from kpray.log import say
from kpray.settings import Settings, parse_settings, run_main
from kpray.text.perceptron import NLTK_TAGGER

OUTPUT = ROOT / "build/bundle"
CONSTRAINTS = ROOT / "constraints.txt"
# Packages in pure Python that an index has as source code only: their wheels are built here.
SOURCES = ("deepspeed", "wordninja")
MAX_PARTS = 999


class BundleSettings(Settings):
    """Settings of `make bundle`."""

    python: str = f"3.{sys.version_info.minor}"
    """Version of Python on the machine that the bundle is for."""
    platform: str = f"manylinux_2_28_{os.uname().machine}"
    """Platform of that machine: manylinux_2_N_PROCESSOR, for glibc 2.N or later."""
    part_mb: Annotated[int, Field(gt=0)] = 40
    """Maximum size of a part, in MB (1,000,000 bytes)."""
    extras: tuple[str, ...] = ("offline",)
    """Extras of kpray to include."""
    have: tuple[str, ...] = ()
    """Packages that the machine has already. They are left out, and so is what only they need."""
    data: tuple[Path, ...] = ()
    """Files and folders to include."""


@dataclass(frozen=True)
class Target:
    """Python and platform of the machine that a bundle is for."""

    python: str
    glibc: int
    processor: str

    @property
    def platforms(self) -> list[str]:
        """Platforms whose wheels run there, the newest first: pip matches each name exactly."""
        modern = [f"manylinux_2_{minor}_{self.processor}" for minor in range(self.glibc, 4, -1)]
        return [*modern, *(f"{name}_{self.processor}" for name in ("manylinux2014", "manylinux2010", "manylinux1"))]

    @property
    def tags(self) -> set[Tag]:
        """Tags of the wheels that run there."""
        version = tuple(map(int, self.python.split(".")))
        interpreter = "cp{}{}".format(*version)
        platforms = self.platforms
        return {*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)}

    def needs(self, wheel: Wheel, extra: str) -> list[Requirement]:
        """What a package needs there, with one of its extras or without any (an empty string)."""
        machine = {
            **{"python_version": self.python, "python_full_version": f"{self.python}.0"},
            **{"implementation_name": "cpython", "platform_python_implementation": "CPython"},
            **{"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
            **{"platform_machine": self.processor, "extra": extra},
        }
        return [one for one in wheel.requirements if one.marker is None or one.marker.evaluate(machine)]


@dataclass(frozen=True)
class Wheel:
    """A package as a file, and what its metadata says."""

    path: Path
    name: str
    version: Version
    requirements: tuple[Requirement, ...]
    tags: frozenset[Tag]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read the metadata of a wheel."""
        with ZipFile(path) as archive:
            file = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = Metadata.from_email(archive.read(file), validate=False)
        name, version, _, tags = parse_wheel_filename(path.name)
        return cls(path, name, version, tuple(metadata.requires_dist or ()), tags)


def parse_target(python: str, platform: str) -> Target:
    """Read the Python and the platform that a user names.

    Raises:
        UserError: kpray does not run there, or it is none.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if not re.fullmatch(r"3\.\d+", python):
        raise UserError(f"{python!r} is not a version of Python", where="python", fix="for example 3.12")
    if python not in SpecifierSet(project["requires-python"]):
        raise UserError(f"kpray needs Python {project['requires-python']}, not {python}", where="python")
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", platform)
    if found is None:
        raise UserError(
            f"{platform!r} is not manylinux_2_N_PROCESSOR", where="platform", fix="for example manylinux_2_28_x86_64"
        )
    return Target(python, int(found[1]), found[2])


def check_extras(extras: Sequence[str]) -> None:
    """Refuse an extra that kpray does not have."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for extra in extras:
        if extra not in known:
            raise UserError(f"kpray has no extra {extra!r}", where="extras", fix=f"known: {', '.join(known)}")


def collect_wheels(
    project: Wheel, extras: Sequence[str], target: Target, have: Collection[str], folder: Path
) -> tuple[dict[str, Wheel], set[str]]:
    """Download the wheels that a package and some of its extras need, all the way down.

    pip's own resolver reads conditions such as `python_version >= "3.12"` for the Python that runs it, and needs the
    packages that are left out. constraints.txt chooses the versions, so that following the requirements is enough.

    Args:
        project: the package.
        extras: its extras.
        target: the machine that the wheels are for.
        have: normalized names of the packages to leave out. What only they need is left out with them.
        folder: where the wheels are written.

    Returns:
        the wheels by their normalized names, without the project's, and those of `have` that they need.

    Raises:
        UserError: a package has no wheel for that machine.
    """
    found, asked, left_out = {project.name: project}, dict[str, SpecifierSet](), set[str]()
    todo, done = {(project.name, extra) for extra in ("", *extras)}, set[tuple[str, str]]()
    while todo:
        needs = [need for name, extra in sorted(todo) for need in target.needs(found[name], extra)]
        done |= todo
        todo = set()
        for need in needs:
            name: str = canonicalize_name(need.name)
            if name in have:
                left_out.add(name)
                continue
            asked[name] = asked.get(name, SpecifierSet()) & need.specifier
            todo |= {(name, extra) for extra in ("", *need.extras)} - done
        download(sorted(f"{name}{asked[name]}" for name, _ in todo if name not in found), target, folder)
        found |= {wheel.name: wheel for wheel in map(Wheel.read, sorted(folder.glob("*.whl")))}
    for name, specifier in asked.items():
        if not specifier.contains(found[name].version, prereleases=True):
            raise UserError(
                f"the packages need {name}{specifier}, and {found[name].version} was chosen",
                fix=f"change {name} in {CONSTRAINTS.name}",
            )
    return {name: wheel for name, wheel in found.items() if name != project.name}, left_out


def download(requirements: Sequence[str], target: Target, folder: Path) -> None:
    """Download the wheels of packages, without what they need, in the versions of constraints.txt."""
    sources = {one for one in requirements if canonicalize_name(Requirement(one).name) in SOURCES}
    wheels = [one for one in dict.fromkeys(requirements) if one not in sources]
    where = f"Python {target.python} on {target.platforms[0]}"
    machine = ["--python-version", target.python, *(f"--platform={name}" for name in target.platforms)]
    if wheels:
        run_pip(["download", "--only-binary=:all:", *machine, "--dest", str(folder)], wheels, where)
    if sources:
        with TemporaryDirectory() as built:
            run_pip(["wheel", "--wheel-dir", built], sorted(sources), where)
            for wheel in map(Wheel.read, sorted(Path(built).glob("*.whl"))):
                if not wheel.tags & target.tags:
                    raise UserError(f"{wheel.name} was built as {wheel.path.name}, which does not run on {where}")
                shutil.copy(wheel.path, folder)


def run_pip(arguments: Sequence[str], requirements: Sequence[str], where: str) -> None:
    """Run pip for packages without what they need."""
    command, *options = arguments
    ran = subprocess.run(
        [sys.executable, "-m", "pip", command, "--no-deps", "--constraint", str(CONSTRAINTS), *options, *requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        errors = [line.removeprefix("ERROR: ") for line in ran.stderr.splitlines() if line.startswith("ERROR: ")]
        named = [one for one in requirements if any(one in line for line in errors)]
        if not named:
            raise UserError(f"pip {command} failed for {where}: {errors[-1] if errors else ran.stderr}")
        raise UserError(
            f"pip finds no wheel of {', '.join(named)} for {where} that {CONSTRAINTS.name} allows",
            fix="choose another Python or platform, or leave it out as a package that the machine has; where pip finds "
            "none of any package, check its index",
        )


def find_nltk_data() -> Path:
    """Find the data of NLTK's tagger on this machine."""
    import nltk

    folders = [Path(folder) / "taggers" / NLTK_TAGGER for folder in nltk.data.path]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise UserError(
            f"NLTK's tagger data {NLTK_TAGGER} was not found",
            fix="run `kpray download-nltk`, or set NLTK_DATA to its folder",
        )
    return found


def name_data(paths: Sequence[Path]) -> dict[str, Path]:
    """The names of files and folders in the bundle: `data/` and their last part."""
    named: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError("there is no such file or folder", where=str(path))
        name = f"data/{path.resolve().name}"
        if name in named:
            raise UserError(f"{named[name]} and {path} have the same name", where="data", fix="rename one of them")
        named[name] = path
    return named


def write_parts(contents: Mapping[str, Path], folder: Path, part_bytes: int) -> list[Path]:
    """Write a compressed archive as numbered parts with their checksums, and the script that installs it.

    Args:
        contents: names in the archive and the files or folders on this machine. Equal contents give equal parts.
        folder: an empty folder for the parts.
        part_bytes: maximum size of a part.

    Raises:
        UserError: there would be too many parts.
    """
    archive = folder / "archive"
    # Most of it is compressed already, so that a higher level takes time and saves little.
    with archive.open("wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:  # noqa: SIM117
        with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
            for name, path in sorted(contents.items()):
                tar.add(path, name, filter=_without_owner)
    if archive.stat().st_size > MAX_PARTS * part_bytes:
        size = archive.stat().st_size / 1e6
        raise UserError(f"{size:.0f} MB would be more than {MAX_PARTS} parts", where="part_mb", fix="choose more")
    numbers = ["--numeric-suffixes=1", "--suffix-length=3"]
    subprocess.run(["split", f"--bytes={part_bytes}", *numbers, archive, folder / "part-"], check=True)
    archive.unlink()
    parts = sorted(folder.glob("part-*"))
    with (folder / "SHA256SUMS").open("wb") as sums:
        subprocess.run(["sha256sum", *(part.name for part in parts)], cwd=folder, stdout=sums, check=True)
    shutil.copy(ROOT / "deploy/install.sh", folder)
    return parts


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def describe_contents(
    project: Wheel, extras: Sequence[str], target: Target, left_out: Collection[str], folder: Path
) -> dict[str, Path]:
    """Write what install.sh reads: what to install, and what the machine must have. Returns the files by name."""
    requirement = f"{project.name}[{','.join(extras)}]" if extras else project.name
    machine = {"python": target.python, "glibc": target.glibc, "processor": target.processor, "have": sorted(left_out)}
    texts = {"requirements.txt": f"{requirement}\n", "machine.json": json.dumps(machine)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {**{name: folder / name for name in texts}, f"project/{project.path.name}": project.path}


def main(arguments: Sequence[str], prog: str) -> int:
    """Write build/bundle."""
    settings = parse_settings(
        BundleSettings,
        arguments,
        prog=prog,
        description="Pack kpray and all that it needs for a machine without a network.",
        examples=("", "--python 3.12 --platform manylinux_2_28_x86_64 --have torch transformers"),
    )
    target = parse_target(settings.python, settings.platform)
    check_extras(settings.extras)
    have = {canonicalize_name(name) for name in settings.have}
    contents = name_data(settings.data)
    contents[f"nltk_data/taggers/{NLTK_TAGGER}"] = find_nltk_data()

    OUTPUT.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=OUTPUT.parent, prefix="bundle-") as work:
        folders = {name: Path(work) / name for name in ("project", "wheels", "bundle")}
        for folder in folders.values():
            folder.mkdir()
        run_pip(["wheel", "--wheel-dir", str(folders["project"])], [str(ROOT)], "any machine")
        project = Wheel.read(next(folders["project"].glob("*.whl")))
        say("bundle", "downloading the packages")
        wheels, left_out = collect_wheels(project, settings.extras, target, have, folders["wheels"])
        for unused in sorted(have - left_out):
            say("warning", f"have: nothing in the bundle needs {unused}", name=unused)
        contents |= describe_contents(project, settings.extras, target, left_out, Path(work))
        contents |= {f"wheels/{wheel.path.name}": wheel.path for wheel in wheels.values()}
        parts = write_parts(contents, folders["bundle"], settings.part_mb * 1_000_000)
        sizes = {wheel.path.name: wheel.path.stat().st_size for wheel in [project, *wheels.values()]}
        total = sum(part.stat().st_size for part in parts)
        shutil.rmtree(OUTPUT, ignore_errors=True)
        folders["bundle"].rename(OUTPUT)

    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:10]:
        say("wheel", f"{size / 1e6:8.1f} MB  {name}", name=name, bytes=size)
    where = f"Python {target.python} on {settings.platform}"
    say("bundle", f"{len(sizes)} wheels for {where}: {total / 1e6:.1f} MB, part-001 to {parts[-1].name} in {OUTPUT}")
    say("bundle", "on the other machine: sh install.sh")
    return 0


if __name__ == "__main__":
    run_main(lambda: main(sys.argv[1:], "deploy/bundle.py"))
