"""`kpray COMMAND`: finds the command's entry point (`kpray.commands`), imports it and runs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import NoReturn

from kpray import __version__, lean
from kpray.errors import UserError
from kpray.settings import run_main

# Heading of `kpray --help` -> the name, entry point and summary of each command below it.
GROUPS = {
    "Keyphrases": {
        "extract": ("extract:main", "Print the keyphrases of documents."),
        "batch": ("batch:main", "Extract keyphrases from any number of documents."),
        "evaluate": ("evaluate:main", "Score keyphrases against gold keyphrases."),
        "serve": ("serve:main", "Serve keyphrases over HTTP, with a page to try it."),
    },
    "Training": {
        "train unikeyphrase": ("train:unikeyphrase", "Train UniKeyphrase."),
        "train retriever": ("train:retriever", "Train RAMKG's retriever."),
        "train generator": ("train:generator", "Train RAMKG's generator."),
        "rgit": ("rgit:main", "Train RAMKG's retriever and generator in rounds."),
        "convert": ("convert:main", "Convert a published UniLM, BERT or mBART for a training."),
        "mine": ("mine:main", "Find pairs of documents that are translations."),
    },
    "Hyperparameters": {
        "sweep heads": ("sweep:heads", "Choose SAMRank's attention heads."),
        "sweep depth": ("sweep:depth", "Choose the number of UniKeyphrase's relation layers."),
        "sweep bow-weight": ("sweep:bow_weight", "Choose the weight of UniKeyphrase's bag-of-words loss."),
        "sweep tau": ("sweep:tau", "Choose RGIT's threshold."),
    },
    "Other commands": {
        "quickstart": ("quickstart:main", "Run a small example of the whole system."),
        "bench": ("bench:main", "Measure the speed of kpray, in a clone of its repository."),
        "download-nltk": ("download_nltk:main", "Download the data of NLTK's tagger for English."),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main() -> NoReturn:
    """Entry point of `kpray` and `python -m kpray`."""
    lean.own_process = True
    run_main(lambda: _run(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> int:
    first, *rest = arguments or ["--help"]
    if first in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0
    if first == "--version":
        sys.stdout.write(f"kpray {__version__}\n")
        return 0
    if first in COMMANDS:
        return _call(first, rest)
    group = [command.partition(" ")[2] for command in COMMANDS if command.startswith(f"{first} ")]
    if group:
        if rest and rest[0] in group:
            return _call(f"{first} {rest[0]}", rest[1:])
        if rest and rest[0] in ("-h", "--help"):
            sys.stdout.write(_usage(f"{first} "))
            return 0
        if not rest:
            raise UserError(f"kpray {first} needs one of: {', '.join(group)}", fix=f"see kpray {first} --help")
        raise _unknown(f"{first} {rest[0]}", [f"{first} {name}" for name in group], f"see kpray {first} --help")
    raise _unknown(first, [command.partition(" ")[0] for command in COMMANDS], "see kpray --help")


def _unknown(command: str, known: Sequence[str], otherwise: str) -> UserError:
    near = get_close_matches(command, known, n=1)
    return UserError(f"unknown command {command!r}", fix=f"did you mean {near[0]}?" if near else otherwise)


def _call(command: str, arguments: Sequence[str]) -> int:
    with lean.uncollected():
        entry = resolve_name(f"kpray.commands.{COMMANDS[command][0]}")
    code: int = entry(arguments, f"kpray {command}")
    return code


def _usage(prefix: str = "") -> str:
    lines = [f"usage: kpray {prefix}COMMAND [OPTIONS]"]
    for heading, commands in GROUPS.items():
        listed = [f"  {name:<20}{text}" for name, (_, text) in commands.items() if name.startswith(prefix)]
        lines += ["", f"{heading}:", *listed] if listed else []
    lines += ["", f"kpray {prefix}COMMAND --help describes a command and its options."]
    if not prefix:
        lines += ["kpray --version prints the version.", "", "Example:", "  kpray extract paper.pdf --top 5"]
    return "\n".join(lines) + "\n"
