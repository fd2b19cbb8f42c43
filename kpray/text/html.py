"""HTML in a text: tags, comments, scripts and entities.

HTML parsers give no character offsets, and they take `a<b and c>d` for a tag. This module knows a tag by the name of
its element and by the syntax of its attributes.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections.abc import Iterator

from kpray.text.edits import BLOCK_END, PHRASE_END, Edit

#: elements that have no text of the page
LEFT_OUT = frozenset("code pre script style svg math template noscript iframe object textarea select head".split())
#: elements inside a line of text
INLINE = frozenset(
    """
    a abbr acronym b bdi bdo big cite data del dfn em font i ins kbd label mark q s samp small span strike strong sub
    sup time tt u var wbr italic bold xref ext-link
    """.split()
)
_BLOCKS = frozenset(
    """
    address area article aside audio base blockquote body br button canvas caption center col colgroup dd details
    dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 header hgroup hr
    html img input legend li link main map menu meta nav ol optgroup option p param picture progress rp rt ruby
    section source summary table tbody td tfoot th thead title tr track ul video sec abstract
    """.split()
)
_ELEMENTS = LEFT_OUT | INLINE | _BLOCKS
_TAG = re.compile(
    r"<(?:(?P<comment>!--)"
    r"|!doctype[^<>]{0,500}>"
    r"|(?P<close>/?)(?:(?:jats|mml|xhtml|svg):)?(?P<name>[a-z][a-z0-9-]{0,20})"
    r"(?:\s++(?:[\w:@.-]++\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'<>=`]++)"
    r"|(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|muted|nowrap|open|required|selected)\b))*+"
    r"\s*+/?>)",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,30});|&(?:nbsp|amp|quot|copy)\b", re.IGNORECASE)


def tag_edits(text: str) -> Iterator[Edit]:
    """Tags are left out. Tags of blocks end a sentence; code and scripts are left out with their text."""
    if "<" not in text or ">" not in text:
        return
    tags = [(match, (match["name"] or "").lower()) for match in _TAG.finditer(text)]
    tags = [(match, name) for match, name in tags if not name or name in _ELEMENTS]
    closing: dict[str, list[int]] = {}  # ends of the closing tags of what is left out
    for match, name in tags:
        if name in LEFT_OUT and match["close"]:
            closing.setdefault(name, []).append(match.end())
    last_comment = text.rfind("-->")
    done = 0
    for match, name in tags:
        start, end = match.span()
        if start < done:
            continue
        if match["comment"] and end <= last_comment:
            end = text.index("-->", end) + len("-->")
        if name in closing and not match["close"]:
            index = bisect_left(closing[name], end)
            end = closing[name][index] if index < len(closing[name]) else end
        replacement = "" if name in INLINE else PHRASE_END if name in ("code", "math") else BLOCK_END
        yield Edit(start, end, replacement)
        done = end


def entity_edits(text: str) -> Iterator[Edit]:
    """Entities become the characters that they are; a space that does not break becomes a space."""
    if "&" not in text:
        return
    for match in _ENTITY.finditer(text):
        character = html.unescape(match[0])
        if character != match[0]:
            yield Edit(*match.span(), character.replace("\xa0", " ").replace("\xad", "").replace("\u200b", ""))
