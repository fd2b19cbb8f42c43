"""`kpray COMMAND`: finds the command's entry point (`kpray.commands`), imports it and runs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import NoReturn

from kpray import __version__
from kpray.errors import UserError
from kpray.settings import run_main

# Name -> entry point, and a line for `kpray --help`.
COMMANDS = {
    "extract": ("extract:main", "print the keyphrases of documents: kpray extract FILE..."),
    "batch": ("batch:main", "write the keyphrases of any number of documents, on one machine or a cluster"),
    "evaluate": ("evaluate:main", "score keyphrases against gold"),
    "serve": ("serve:main", "answer over HTTP, with a page to try it on"),
    "train unikeyphrase": ("train:unikeyphrase", "train UniKeyphrase"),
    "train retriever": ("train:retriever", "train RAMKG's retriever"),
    "train generator": ("train:generator", "train RAMKG's generator"),
    "rgit": ("rgit:main", "train RAMKG's retriever and generator in rounds"),
    "mine": ("mine:main", "find translations among documents"),
    "sweep heads": ("sweep:heads", "choose SAMRank's heads"),
    "sweep depth": ("sweep:depth", "choose how many relation layers UniKeyphrase has"),
    "sweep bow-weight": ("sweep:bow_weight", "choose the weight of UniKeyphrase's bag-of-words constraint"),
    "sweep tau": ("sweep:tau", "choose RGIT's threshold"),
    "bench": ("bench:main", "measure kpray beside its floor and other tools, in a clone of the repository"),
    "quickstart": ("quickstart:main", "a small real run of the whole system"),
    "download-nltk": ("download_nltk:main", "fetch the data of NLTK's tagger for English"),
}


def main() -> NoReturn:
    """Entry point of `kpray` and `python -m kpray`."""
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
        raise UserError(f"kpray {first} needs one of: {', '.join(group)}", fix=f"see kpray {first} --help")
    near = get_close_matches(first, [command.partition(" ")[0] for command in COMMANDS], n=1)
    fix = f"did you mean {near[0]}?" if near else "see kpray --help"
    raise UserError(f"unknown command {first!r}", fix=fix)


def _call(command: str, arguments: Sequence[str]) -> int:
    entry = resolve_name(f"kpray.commands.{COMMANDS[command][0]}")
    code: int = entry(arguments, f"kpray {command}")
    return code


def _usage(group: str = "") -> str:
    lines = [f"  {name:<20}{text}\n" for name, (_, text) in COMMANDS.items() if name.startswith(group)]
    head = f"usage: kpray {group}COMMAND\n\nkpray COMMAND --help describes the options of a command.\n\n"
    return head + "".join(lines) + ("" if group else f"  {'--version':<20}print the version\n")
