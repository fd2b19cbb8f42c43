"""The help of every command: plain sentences, examples that work, and nothing that 80 columns cut."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

import pydantic
import pytest

import kpray.settings
from benchmarks.run import BENCHMARKS, OTHERS
from kpray.cli import COMMANDS
from kpray.command_line import schema_section
from kpray.settings import CONFIGURATIONS, Settings, parse_settings
from tests.commands import RunHere

ALL = [*(name for name in COMMANDS if name != "bench"), *(f"bench {name}" for name in [*BENCHMARKS, *OTHERS])]
# Words that begin a phrase instead of a sentence ("Of the cluster.", "Most tokens of a text."), and words that say
# nothing to a reader of this field.
LEADING = re.compile(r"(Of|Most|Fewest|Least|Times|Whether|Whence|So|That)\b")
UNCLEAR = re.compile(r"\b(place|told|whence|so many|own|null:|none:)", re.IGNORECASE)


class _Asked(Exception):
    """Carries what a command passes to the parser of the command line."""


def asked(command: str, monkeypatch: pytest.MonkeyPatch) -> tuple[type[Settings], dict[str, Any]]:
    """The schema of a command, and what it tells the parser besides."""

    def catch(schema: type[Settings], _: list[str], **about: Any) -> None:
        raise _Asked(schema, about)

    group, _, name = command.partition(" ")
    entry, arguments = ("bench", [name]) if group == "bench" else (command, [])
    with monkeypatch.context() as patched:
        patched.setattr(kpray.settings, "read_command_line", catch)
        with pytest.raises(_Asked) as caught:
            resolve_name(f"kpray.commands.{COMMANDS[entry][0]}")(arguments, f"kpray {entry}")
    schema, about = caught.value.args
    return schema, about


def help_texts(schema: type[pydantic.BaseModel], name: str) -> Iterator[tuple[str, str]]:
    """Field or section -> its help."""
    for field, info in schema.model_fields.items():
        path = f"{name}.{field}"
        section = schema_section(info.annotation)
        yield path, " ".join((info.description or (section and section.__doc__) or "").split())
        if section:
            yield from help_texts(section, path)


def mistakes(text: str) -> list[str]:
    """What keeps a help text from being a plain sentence."""
    found = []
    if not re.match(r"[A-Z`]|--", text):
        found.append("does not begin with a capital letter or code")
    if not text.endswith("."):
        found.append("does not end with a period")
    if LEADING.match(text):
        found.append("begins in the middle of a sentence")
    if UNCLEAR.search(text):
        found.append("has an unclear word")
    return found


@pytest.mark.parametrize(
    "text",
    [
        *("", "of the bootstrap.", "Beams", "Of the bootstrap.", "Most tokens of a text.", "Times that it is seen."),
        *("Whether it stops.", "Its place in the list.", "What it is told.", "Of so many trials one goes on."),
        *("The trials, so many of them.", "Its own words.", "Steps; null: all."),
    ],
)
def test_what_is_no_plain_sentence_is_seen(text: str) -> None:
    assert mistakes(text)


@pytest.mark.parametrize("command", ALL)
def test_help_is_plain_sentences(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, about = asked(command, monkeypatch)
    texts = {**dict(help_texts(schema, command)), "description": about["description"], "config": about["config"]()}
    assert {name: mistakes(text) for name, text in texts.items() if mistakes(text)} == {}


def test_summaries_are_plain_sentences() -> None:
    texts = [text for _, text in COMMANDS.values()] + [entry[-1] for entry in (*BENCHMARKS.values(), *OTHERS.values())]
    assert [text for text in texts if mistakes(text)] == []


@pytest.mark.parametrize("command", ALL)
def test_examples_are_right(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, about = asked(command, monkeypatch)
    assert about["examples"]
    for example in about["examples"]:
        parse_settings(schema, shlex.split(example), prog="", description="", positional=about["positional"])


@pytest.mark.parametrize("option", ["--help", "--help-all"])
@pytest.mark.parametrize("command", [*ALL, "", "train", "sweep", "bench"])
def test_nothing_is_wider_than_a_terminal(
    command: str, option: str, kpray: RunHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    if command in ("", "train", "sweep", "bench"):
        option = "--help"  # these have no options
    ended = kpray(*command.split(), option)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("usage: ")
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", ALL)
def test_usual_options_are_some_of_all(command: str, kpray: RunHere) -> None:
    usual, every = kpray(*command.split(), "--help").out, kpray(*command.split(), "--help-all").out
    options = [set(re.findall(r"^[│ ]{0,2}(--[a-z.-]+)", text, re.MULTILINE)) for text in (usual, every)]
    assert options[0] <= options[1]
    if options[0] == options[1]:
        assert "--help-all" not in usual
    else:
        assert usual.splitlines()[-1] == f"--help-all shows all {len(options[1] - {'--help-all'})} options."
        assert len(options[0]) <= 20


def test_configurations_are_offered_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[str, set[str]] = {}
    for command in ALL:
        _, _, names = asked(command, monkeypatch)[1]["config"]().partition("one of: ")
        offered[command] = set(names.rstrip(".").split(", ")) - {""}
    assert offered["batch"] == offered["extract"] == {"samrank-paper"}
    assert offered["rgit"] == {"paper-academic", "paper-ecommerce", "planted", "planted-small"}
    assert offered["train unikeyphrase"] == {"minilm", "paper", "small"}
    assert offered["download-nltk"] == set()
    assert set.union(*offered.values()) == {path.stem for path in CONFIGURATIONS.glob("*.yaml")}
