"""Lines of code in a text without marks around them: programs, data, shell sessions, patches and stack traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from kpray.text.edits import BLOCK_END, Edit

_STRONG = re.compile(
    r"""\s*(?:
    import\ [\w.{},*\ ]+(?:\ from\ ['"].*)?;?$
    | from\ [\w.]+\ import\ [\w.,*\ ()]+$ | \#include\ ?[<"] | package\ [\w.]+;
    | (?:async\ )?def\ \w+\( | (?:pub\ |static\ |async\ |export\ )*(?:fn|func|function)\ \w+\s?[(<]
    | (?:class|struct|enum|interface)\ \w+.*[:{]\s*$
    | [{}\[\]()]+[,;]?\s*$ | (?=.*[(){}=]).*[;{}],?\s*$
    | for\ \w+(?:,\ ?\w+)*\ in\ \S+:$ | (?:else|try|finally):$
    | (?:if|elif|while|for|with|except)\b(?=.*[()=\[\]_]).*:$
    | "[\w\ .$@-]+"\s*:\s*\S | (?:\[|\]|\}),?\s*$
    | SELECT\b.+\bFROM\b | INSERT\ INTO\ | UPDATE\ \w+\ SET\b
    | (?:CREATE|ALTER|DROP)\ (?:TABLE|INDEX|VIEW)\ | DELETE\ FROM\b
    | >>>\ | \$\ \S | [\w.-]+@[\w.-]+:[^\s$\#]*[$\#]\ | (?:PS\ )?[A-Z]:\\[^>\n]*>
    | (?:sudo\ )?(?:pip3?|npm|yarn|apt|apt-get|brew|conda|cargo|dnf)\ (?:install|add|build|run|ci)\b
    | (?:sudo\ )?(?:git\ clone|docker\ (?:run|build|pull)|kubectl\ \w+|systemctl\ \w+)\ \S
    | diff\ --git\ | index\ [0-9a-f]{6,}\.\. | (?:---|\+\+\+)\ \S+[/.]\S | @@\ -\d
    | Traceback\ \(most\ recent\ call\ last\):$ | File\ "[^"]+",\ line\ \d+
    | at\ [\w.$<>/]+(?:\ \[[\w\ ]+\])?\ ?\([^()]*\)$ | at\ \S+:\d+:\d+$ | \#!/ | \.\.\.\ \d+\ more$
    | -----(?:BEGIN|END)\ [A-Z0-9 ]+-----$ | <\?php
    )""",
    re.VERBOSE,
)
# Code only next to other code.
_WEAK = re.compile(
    r"""\s*(?:
    (?:(?:const|let|var|auto|int|float|char|export|self\.)\ ?)?[\w.\[\]"'$]+\s?(?:[-+*/|]?=|:=|<-)\s?\S.*(?<!\.)$
    | [\w.]+\(.*\)[;,]?$ | (?:return|raise|throw|print|assert|await|yield|break|continue|pass)\b.{0,60}(?<!\.)$
    | (?:set|cd|export|echo|source|exit|mkdir|cp|mv|rm|make|sh|bash|\./\S+)\b.{0,80}(?<!\.)$
    | \[[\w .:"-]+\]$ | \.\.\.(?:\ |$) | (?:\#|//)\s?.*$ | @\w+
    )""",
    re.VERBOSE,
)
_SETTING = re.compile(r"\s*[\w.-]+\s?=\s?\S.*(?<!\.)$")
_SECTION = re.compile(r"\[[\w .:-]+\]\s*$")
_KEY = re.compile(r"(\s*(?:- )*)[A-Za-z_][\w./-]*:(?:\s+\S.*)?$")
_ITEM = re.compile(r"\s*- \S")
_ENCODED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[\d+/])[A-Za-z0-9+/=_-]{40,}\s*$|=[\w+/]{4}$")
_FRAME = re.compile(r'\s*File "[^"]+", line \d+')
_HUNK = re.compile(r"@@ -\d")
_EXCEPTION = re.compile(
    r"(?P<prefix>(?:Caused by: |Exception in thread \"[^\"]*\" )?(?:[a-z]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning): )"
)
_SEALED = re.compile(
    r"^-----BEGIN PGP SIGNED MESSAGE-----\s*?\n(?:Hash: [^\n]*\n)?"
    r"|^-----BEGIN (?!PGP SIGNED)(?P<kind>[A-Z0-9 ]+)-----\s*?$.*?^-----END (?P=kind)-----\s*?$",
    re.DOTALL | re.MULTILINE,
)
# In JSON, strings of several words are text; keys and other values are not.
_JSON_LINE = re.compile(r'\s*(?:[\[{]\s*)*"[\w $@.:/-]{1,80}"\s*:')
_JSON_TEXT = re.compile(r'(?<=")[^"\\\s]+(?:[ ]|\\.)[^"\\]+(?=")')
_JSON_KEY = re.compile(r'"[\w $@.:/-]{1,80}"\s*:')
_ANY = re.compile(
    r"[(){}=<>\[\]$@;\"\\]|^-----|^[ \t]*(?:- )?\w+:$|[A-Za-z0-9+/]{40}"
    r"|^[ \t]*(?:import|pip|sudo|git|npm|else|try)\b",
    re.MULTILINE,
)


def code_block_edits(text: str) -> Iterator[Edit]:
    """Lines of code; of a stack trace, the message stays."""
    if _JSON_LINE.match(text) and text.rstrip()[-1] in "]}":
        yield from _json_edits(text, 0, len(text))
        return
    if "\n" not in text or not _ANY.search(text):
        return
    sealed = [match.span() for match in _SEALED.finditer(text)] if "-----BEGIN" in text else []
    lines = text.split("\n")
    code = _code_lines([line.rstrip() for line in lines])
    offset = 0
    for line, is_code in zip(lines, code, strict=True):
        start, end = offset, offset + len(line)
        offset = end + 1
        if sealed and start >= sealed[0][1]:
            sealed.pop(0)
        inside = bool(sealed) and sealed[0][0] <= start
        if (is_code or inside) and line:
            yield Edit(start, end, BLOCK_END)
        elif match := _EXCEPTION.match(line):
            yield Edit(start, start + match.end(), BLOCK_END)


def _json_edits(text: str, start: int, end: int) -> Iterator[Edit]:
    """Leave out everything but the strings of several words."""
    keys = {match.start() for match in _JSON_KEY.finditer(text, start, end)}
    for match in _JSON_TEXT.finditer(text, start, end):
        if match.start() - 1 not in keys:
            yield Edit(start, match.start(), BLOCK_END)
            start = match.end()
    if start < end:
        yield Edit(start, end, BLOCK_END)


def _code_lines(lines: list[str]) -> list[bool]:
    found = [bool(_STRONG.match(line) or _ENCODED.match(line)) for line in lines]
    _mark_context(lines, found)
    _mark_settings(lines, found)
    _mark_keys(lines, found)
    for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
        step = order.step
        for index in order:
            before = index - step
            comment = lines[index].lstrip()[:1] in ("#", "/")  # or a heading
            if not comment and 0 <= before < len(lines) and not lines[before] and 0 <= before - step < len(lines):
                before -= step  # code has empty lines
            if not found[index] and 0 <= before < len(lines) and found[before] and _WEAK.match(lines[index]):
                found[index] = True
    return found


def _mark_context(lines: list[str], found: list[bool]) -> None:
    """Mark the lines of a patch, and the source line of each frame of a stack trace."""
    hunk = False
    for index, line in enumerate(lines):
        hunk = bool(_HUNK.match(line)) or (hunk and line[:1] in ("+", "-", " ", "\\"))
        found[index] |= hunk
        if index and _FRAME.match(lines[index - 1]) and line[:1] == " ":
            found[index] = True


def _mark_settings(lines: list[str], found: list[bool]) -> None:
    """Mark sections of settings: `[server]`, then `port = 80`; or three settings in a row."""
    for start, end in _runs([bool(_SETTING.match(line)) for line in lines]):
        titled = start > 0 and _SECTION.match(lines[start - 1]) is not None
        if titled or end - start > 2:
            for index in range(start - titled, end):
                found[index] = True


def _mark_keys(lines: list[str], found: list[bool]) -> None:
    """Mark YAML: at least three lines of keys and items, one of which is nested."""
    for start, end in _runs([bool(_KEY.match(line) or _ITEM.match(line)) for line in lines]):
        keys = [(index, match) for index in range(start, end) if (match := _KEY.match(lines[index]))]
        nested = any(
            lines[index].endswith(":") and after == index + 1 and len(match[1]) > len(key[1])
            for (index, key), (after, match) in pairwise(keys)
        )
        if nested and len(keys) > 2:
            for index in range(start, end):
                found[index] = True


def _runs(flags: list[bool]) -> Iterator[tuple[int, int]]:
    start = None
    for index, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            yield start, index
            start = None
