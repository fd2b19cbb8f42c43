"""Markdown in a text that is no Markdown file: code, images, links, headings and emphasis."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, PHRASE_END, Edit

_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_TARGET = r"\((?:[^()\s]|\([^()\s]*\)){0,2000}(?:[ ]\"[^\"\n]{0,200}\")?\)"
_IMAGE = rf"!\[[^\[\]\n]{{0,300}}\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])"
_INLINE = re.compile(
    rf"(?P<badge>\[{_IMAGE}\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])?)|(?P<image>{_IMAGE})"
    r"|(?P<open>\[)(?P<words>[^\[\]\n]{1,300})(?P<target>\](?:" + _TARGET + r"|\[[\w -]{0,60}\](?<=[a-z]\]|\[\])))"
    r"|(?P<definition>^[ ]{0,3}\[(?!\^)[^\[\]\n]{1,100}\]:[ ]+\S+[^\n]*$)"
    # ``quoted'' and `quoted' are quotations of LaTeX.
    r"|(?P<code>(?<![`\w])`(?![\s`])[^`\n]{1,200}(?<![\s'])`(?![`\w']))"
    r"|(?P<heading>^[ ]{0,3}\#{1,6}[ ]+(?=\S))"
    r"|(?P<rule>^[ ]{0,3}(?:={3,}|-{3,}|\*{3,}|~{3,}|[+|][-+|:= ]{3,})[ \r]*$)"
    r"|(?P<footnote>\[\^[\w-]{1,40}\]:?)|(?P<task>(?<=[-*+] )\[[ xX]\] )|(?P<struck>(?<!~)~~(?!~))"
    r"|(?P<alert>^>?[ ]?\[![A-Z]+\][ \t\r]*$)"
    r"|(?<![\w_])(?P<under>__(?=[^_\n]*[ :])|_(?!_))(?=[\w\"'(])(?P<words2>[^_\n]{1,300})(?<=[\w\"').!?:])"
    r"(?P<end2>(?P=under))(?![\w_])"
    r"|(?<![\w*])(?P<strong>\*{1,3})(?=[\w\"'(])(?P<text>[^*\n]{1,300})(?<=[\w\"').!?:])(?P<end>\*{1,3})(?![\w*])",
    re.MULTILINE,
)
#: For each closing mark, its opening mark and the text between them.
_PAIRS = {"target": ("open", "words"), "end": ("strong", "text"), "end2": ("under", "words2")}
_ANY = re.compile(r"[`\[*#|_~]")
_ANY_RULE = re.compile(r"^[ ]{0,3}(?:={3}|-{3}|\+-)", re.MULTILINE)


def markdown_edits(text: str) -> Iterator[Edit]:
    """Code, badges, images, the targets of links, and the marks of headings, rules and emphasis."""
    if not _ANY.search(text) and not ("\n" in text and _ANY_RULE.search(text)):
        return
    done = 0
    for start, end in _fenced(text):
        yield from _inline_edits(text, done, start)
        yield Edit(start, end, BLOCK_END)
        done = end
    yield from _inline_edits(text, done, len(text))


def _fenced(text: str) -> list[tuple[int, int]]:
    """Blocks of code between fences; a fence that is not closed is no block."""
    found = []
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opened is None:
            opened = match
        elif match[1].startswith(opened[1]):
            found.append((opened.start(), match.end()))
            opened = None
    return found


def _inline_edits(text: str, start: int, end: int) -> Iterator[Edit]:
    for match in _INLINE.finditer(text, start, end):
        kind = match.lastgroup
        if kind in _PAIRS:
            opening, inside = _PAIRS[kind]
            yield Edit(*match.span(opening), "")
            yield from _inline_edits(text, *match.span(inside))
            yield Edit(*match.span(kind), "")
        else:
            replacements = {"code": PHRASE_END, "image": PHRASE_END, "footnote": "", "task": "", "struck": ""}
            yield Edit(*match.span(), replacements.get(kind or "", BLOCK_END))
