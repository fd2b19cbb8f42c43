"""Markup of wikis, forums and reStructuredText, and the fields of BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, PHRASE_END, Edit

_FRONT_MATTER = re.compile(
    r"\A\s*---[ \t]*\r?\n(?=[\w-]+[ \t]*:).{0,5000}?^(?:---|\.\.\.)[ \t\r]*$"
    r"|\A\s*\+\+\+[ \t]*\r?\n.{0,5000}?^\+\+\+[ \t\r]*$",
    re.DOTALL | re.MULTILINE,
)
_WIKI = re.compile(
    r"(?P<block>\{\{(?:[^{}]|\{\{[^{}]*\}\}){0,2000}\}\}|\{\|.{0,5000}?\|\}|<ref\b[^<>/]*>[^<>]{0,1000}</ref>"
    r"|<ref\b[^<>]*/>)"
    r"|(?P<file>\[\[(?:File|Image|Category):[^\[\]]{0,300}\]\])"
    r"|(?P<target>\[\[(?:[^\[\]|\n]{0,200}\|)?)(?P<words>[^\[\]|\n]{1,200})(?P<close>\]\])"
    r"|(?P<none>'{2,5})|(?P<heading>^={2,6}[ ]*(?=\S)|(?<=\S)[ ]*={2,6}[ \t\r]*$)",
    re.MULTILINE | re.DOTALL,
)
_IS_WIKI = re.compile(r"\[\[[^\[\]\n]{1,200}\]\]|'''\w|^==+ ?\S[^\n=]*==", re.MULTILINE)
_FORUM = re.compile(
    r"(?P<block>\[code\].{0,5000}?\[/code\]|\[img\b[^\]]{0,50}\][^\[\]]{0,500}\[/img\])"
    r"|\[/?(?:b|i|u|s|url|quote|list|li|\*|size|color|center|font|spoiler|table|tr|td|h\d)(?:=[^\[\]\n]{0,300})?\]",
    re.DOTALL | re.IGNORECASE,
)
_IS_FORUM = re.compile(r"\[/(?:b|i|u|s|url|quote|list|code|img|size|color)\]", re.IGNORECASE)
_RST = re.compile(
    r"(?P<block>^(?P<indent>[ \t]*)\.\. (?:image|figure|code-block|code|sourcecode|highlight|testcode"
    r"|parsed-literal|raw"
    r"|toctree|include|math|contents|_[^\n:]{1,80}:|\|)[^\n]*(?:\n(?:[ \t]*\r?(?=\n)|(?P=indent)[ \t]+[^\n]*))*)"
    r"|(?P<directive>^[ \t]*\.\. [\w:-]+::[^\n]*(?:\n[ \t]+:[\w-]+:[^\n]*)*)"
    r"|(?P<code>:[\w:-]{1,30}:`[^`\n]{1,200}`|``[^`\n]{1,200}``)"
    r"|`(?P<link>[^`<>\n]{1,200}?)(?P<after>[ \n]?<[^<>\n]{1,500}>`_{1,2}|`_{1,2})"
    r"|(?P<substitution>\|[\w -]{1,40}\|(?=_|\s|$)_{0,2})",
    re.MULTILINE,
)
_IS_RST = re.compile(r"^[ \t]*\.\. [\w_|:-]|:\w+:`|``[^`\n']+``|`_(?!\w)", re.MULTILINE)
_BIBTEX = re.compile(
    r"@(?:article|book|inproceedings|incollection|misc|phdthesis|techreport|conference|online"
    r"|software)\s?\{[^,{}\s]{1,100},"
    r"(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\}){0,3000}\}?",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\btitle\s*=\s*[{\"]+([^{}\"]{1,300})", re.IGNORECASE)


def front_matter_edits(text: str) -> Iterator[Edit]:
    """Fields between two lines of dashes at the start of a Markdown text."""
    if match := _FRONT_MATTER.match(text):
        yield Edit(*match.span(), BLOCK_END)


def wiki_edits(text: str) -> Iterator[Edit]:
    """Links, templates and headings of wikis."""
    if not ("[[" in text or "''" in text or "==" in text) or not _IS_WIKI.search(text):
        return
    for match in _WIKI.finditer(text):
        if match["target"]:
            yield Edit(*match.span("target"), "")
            yield Edit(*match.span("close"), "")
        else:
            replacements = {"none": "", "block": "", "file": PHRASE_END, "heading": BLOCK_END}
            yield Edit(*match.span(), replacements[match.lastgroup or "none"])


def forum_edits(text: str) -> Iterator[Edit]:
    """BBCode."""
    if "[/" not in text or not _IS_FORUM.search(text):
        return
    for match in _FORUM.finditer(text):
        inline = match[0].strip("[/]").lower() in ("b", "i", "u", "s") or match[0].lower().startswith(("[url", "[/url"))
        yield Edit(*match.span(), "" if inline else BLOCK_END)


def rst_edits(text: str) -> Iterator[Edit]:
    """Directives, roles and links of reStructuredText."""
    if not ("`" in text or ".. " in text) or not _IS_RST.search(text):
        return
    for match in _RST.finditer(text):
        if match["link"]:
            yield Edit(match.start(), match.start("link"), "")
            yield Edit(*match.span("after"), "")
        else:
            yield Edit(*match.span(), PHRASE_END if match["code"] or match["substitution"] else BLOCK_END)


def bibtex_edits(text: str) -> Iterator[Edit]:
    """Entries of BibTeX, of which the title stays."""
    if "@" not in text or "{" not in text:
        return
    for match in _BIBTEX.finditer(text):
        title = _TITLE.search(match[0])
        if title:
            start, end = (match.start() + offset for offset in title.span(1))
            yield Edit(match.start(), start, BLOCK_END)
            yield Edit(end, match.end(), BLOCK_END)
        else:
            yield Edit(*match.span(), BLOCK_END)
