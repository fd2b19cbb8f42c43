from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from kpray.errors import UserError
from kpray.settings import Settings, parse_settings


class Search(Settings):
    """How to search."""

    beams: int = 5
    """Beams."""
    limit: int | None = 3
    """Most steps."""
    names: tuple[str, ...] = ("a b", "c")
    """Names."""
    dtype: Literal["auto", "none"] = "auto"
    """Precision."""
    quick: bool = False
    """Do less."""


class Command(Settings):
    files: tuple[Path, ...]
    """Documents."""
    label: str | None = None
    """Shown; 100 % of it."""
    model: Path = Path("m")
    """A folder."""
    explain: bool = True
    """Show the scores."""
    first: Search = Search(beams=1)
    """The first search."""
    second: Search = Search()


def command(*arguments: str) -> Command:
    return parse_settings(Command, arguments, prog="find it", description="Finds.", positional="files")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exited:
        command(*arguments)
    assert not exited.value.code
    return capsys.readouterr().out


def message(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        command(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("none", ["none", "None", "null", "NULL"])
def test_none_has_two_names(none: str) -> None:
    read = command("a", "--label", none, f"--first.limit={none}", "--first.names", none)
    assert (read.label, read.first.limit, read.first.names) == (None, None, (none,))  # names may not be None


def test_optional_sequence_is_none_by_one_word_alone() -> None:
    class Langs(Settings):
        langs: tuple[str, ...] | None = ("en",)

    def read(*arguments: str) -> tuple[str, ...] | None:
        return parse_settings(Langs, ["--langs", *arguments], prog="p", description="").langs

    assert read("none") is None
    assert read("none", "de") == ("none", "de")


def test_none_that_is_a_literal() -> None:
    assert command("a", "--first.dtype", "none").first.dtype == "none"
    assert message("a", "--first.dtype", "null") == "--first.dtype is 'null' (it should be 'auto' or 'none')"


def test_only_given_fields_are_set(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("first: {limit: 3}\nmodel: m\n")  # their defaults, but given
    read = command("a", "--config", str(config), "--no-explain", "--second.beams", "5")
    assert read.model_dump(exclude_unset=True) == {
        "files": (Path("a"),),
        "model": Path("m"),
        "explain": False,
        "first": {"beams": 1, "limit": 3},  # what the schema's default sets stays set
        "second": {"beams": 5},
    }
    assert command("a").model_fields_set == {"files"}


@pytest.mark.parametrize(
    ("arguments", "files", "names"),
    [
        ("a --first.names x y --explain b", ["a", "b"], ("x", "y")),
        ("--first.names=x a b", ["a", "b"], ("x",)),  # = gives one value
        ("a --first.names=x b --first.names", ["a", "b"], ()),  # the last counts
        ("a --first.names=-x", ["a"], ("-x",)),
        ("a --first.names -1 -.5", ["a"], ("-1", "-.5")),
        ("--explain a --first.quick true b", ["a", "b"], ("a b", "c")),
        ("--first.names x -- -a --explain", ["-a", "--explain"], ("x",)),
    ],
)
def test_what_belongs_to_an_option(arguments: str, files: list[str], names: tuple[str, ...]) -> None:
    read = command(*arguments.split())
    assert (read.files, read.first.names, read.explain) == (tuple(map(Path, files)), names, True)


MISTAKES = {
    "--label": "--label: expected 1 argument (see --help; a value that begins with - is written --option=VALUE)",
    "a --label --model": "--label: expected 1 argument (see --help; a value that begins with - is written "
    "--option=VALUE)",
    "a --label --label b": "--label: expected 1 argument (see --help; a value that begins with - is written "
    "--option=VALUE)",
    "a --lable=b": "unknown option --lable (did you mean --label?)",
    "a --first.names x -end": "unknown option -end (see --help)",
    "a --no-explain=true": "--no-explain takes no value (give --no-explain alone)",
    "a --second.quick=perhaps": "--second.quick is 'perhaps' (it should be true or false)",
    "--tyro-print-completion": "--tyro-print-completion takes SHELL (shells: bash, zsh, fish)",
    "--tyro-print-completion csh": "--tyro-print-completion takes SHELL (shells: bash, zsh, fish)",
    "--tyro-write-completion zsh": "--tyro-write-completion takes SHELL FILE (shells: bash, zsh, fish)",
    "a --tyro-print-completion bash": "--tyro-print-completion is not the first argument (give it alone, with the "
    "shell)",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(arguments: str) -> None:
    assert message(*arguments.split()) == MISTAKES[arguments]


def test_help_shows_types_defaults_and_descriptions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = re.sub(r"[\s│]+", " ", printed(capsys, "a", "--label", "--help"))
    for text in [
        "usage: find it [-h] [OPTIONS] FILES...",
        "Finds.",
        "FILES... Documents. (required)",
        "--label STR Shown; 100 % of it. (default: null)",
        "--model PATH A folder. (default: m)",
        "--explain, --no-explain Show the scores. (default: True)",
        "first options",
        "The first search.",
        "--first.beams INT Beams. (default: 1)",
        "--first.names STR ... Names. (default: 'a b' c)",
        "How to search.",  # of the section that has no description of its own
        "--second.beams INT Beams. (default: 5)",
        "--second.dtype {auto,none} Precision. (default: auto)",
    ]:
        assert text in shown


def test_completion_for_other_shells(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert printed(capsys, "--tyro-print-completion", "zsh").startswith("#compdef find it\n")
    assert "complete --no-files --command 'find it'" in printed(capsys, "--tyro-print-completion", "fish")
    printed(capsys, "--tyro-write-completion", "zsh", str(tmp_path / "_find"))
    assert "--second.beams" in (tmp_path / "_find").read_text()


def test_usual_options_come_first_and_the_others_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    def shown(option: str) -> str:
        with pytest.raises(SystemExit) as exited:
            parse_settings(
                Command,
                [option, "--lable"],
                prog="jobs/find.py",
                description="Finds names in documents. " * 4,
                positional="files",
                usual=("second.dtype", "model"),
                examples=("a.txt", f"{'long/' * 8}a.txt --model {'long/' * 6}model"),
            )
        assert exited.value.code == 0
        return capsys.readouterr().out

    usual = shown("--help")
    *lines, last = usual.splitlines()
    options = [re.match(r"[│ ]{0,2}(--[a-z.-]+|FILES)", line) for line in lines]
    assert [option[1] for option in options if option] == [
        *("FILES", "--second.dtype", "--model", "--config", "--help-all")
    ]
    assert last == "--help-all shows all 14 options."
    assert "  Finds names in documents. Finds names in documents. Finds names in documents.\n  Finds" in usual
    assert "Examples:\n  python jobs/find.py a.txt\n  python jobs/find.py long/" in usual
    assert "a.txt --model \\\n      long/" in usual
    every = shown("--help-all")
    assert len(re.findall(r"^[│ ]{0,2}--[a-z.-]+", every, re.MULTILINE)) == 14 + 1  # and --help-all
    assert every.index("--model") < every.index("--label") < every.index("--second.dtype")
    assert shown("--help_all") == every


def test_options_that_are_not_shown_are_read() -> None:
    read = parse_settings(
        Command, ["a", "--label", "b"], prog="p", description="", positional="files", usual=("model",)
    )
    assert read.label == "b"
    with pytest.raises(UserError, match="did you mean --label"):
        parse_settings(Command, ["a", "--lable", "b"], prog="p", description="", positional="files", usual=("model",))
