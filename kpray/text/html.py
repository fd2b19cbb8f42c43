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
_AROUND_TEXT = frozenset("nav footer button pubdate guid lastbuilddate".split())  # what is around the text of a page
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
_WITHOUT_TEXT = LEFT_OUT | _AROUND_TEXT
_ELEMENTS = _WITHOUT_TEXT | INLINE | _BLOCKS
_TAG = re.compile(
    r"<(?:(?P<comment>!--)"
    r"|!doctype[^<>]{0,500}>|\?[^<>]{0,500}\?>|!\[cdata\["
    r"|(?P<close>/?)(?:(?:jats|mml|xhtml|svg):)?(?P<name>[a-z][a-z0-9-]{0,20})"
    r"(?:\s++(?:[\w:@.-]++\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'<>=`]++)"
    r"|(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|muted|nowrap|open|required|selected)\b))*+"
    r"\s*+/?>)|(?P<cdata>\]\]>)"
    r"|(?P<cut><[a-z][\w-]{0,20}\s[\w:@.-]+=[\"'][^<>]*\Z|</[a-z][\w-]{0,20}\Z)",
    re.IGNORECASE,
)
# An entity may be escaped more than once: &amp;nbsp;
# Items that are links and nothing else, at least four in a row: the menu of a page.
_MENU = re.compile(
    r"(?:<li\b[^<>]{0,300}>\s*(?:<[a-z][^<>]{0,300}>\s*)?<a\s[^<>]{0,500}>(?:[^<>]|</?(?!a\b|li\b)[a-z][^<>]{0,300}>){0,300}</a>"
    r"(?:\s*</(?:li|span|div|p|strong)>)*\s*(?:</?(?:ul|ol)\b[^<>]{0,300}>\s*)*){4,}",
    re.IGNORECASE,
)
# Parts of a page that are not its text, by the words of their `id`, `class` or `role`.
_AROUND = re.compile(
    r"\s(?:id|class|role)\s*=\s*[\"']?[^\"'<>]*?(?<![a-z])(?:nav|navbar|navigation|menu|sidebar|footer|breadcrumbs?|cookies?"
    r"|consent|popup|modal|banner|advert|ads|share|social|newsletter|related|skip|help|toolbar|pagination)(?![a-z])",
    re.IGNORECASE,
)
_MAX_SHARE = 0.5  # of the page; a larger part has the text
_TEXT_INSIDE = re.compile(r"<(?:h1|main|article)\b", re.IGNORECASE)
_CODE = re.compile(r"[{;=(]")
_CODE_WITHIN = 200  # characters
_PAGE = re.compile(r"<(?:html|body|!doctype)\b", re.IGNORECASE)
_ENTITY = re.compile(
    r"&(?:amp;){0,4}(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,30});|&(?:nbsp|amp|quot|copy)\b", re.IGNORECASE
)


def tag_edits(text: str) -> Iterator[Edit]:
    """Tags are left out. Tags of blocks end a sentence; code and scripts are left out with their text."""
    if "<" not in text or ">" not in text:
        return
    tags = [(match, (match["name"] or "").lower()) for match in _TAG.finditer(text)]
    closed = {name for match, name in tags if match["close"]}  # elements of XML, custom elements
    tags = [(match, name) for match, name in tags if not name or name in _ELEMENTS or name in closed]
    closing: dict[str, list[int]] = {}  # ends of the closing tags of what is left out
    for match, name in tags:
        if name in _WITHOUT_TEXT and match["close"]:
            closing.setdefault(name, []).append(match.end())
    last_comment = text.rfind("-->")
    skipped: dict[int, int] = {}  # start and end of menus and other parts around the text of a page
    if _PAGE.search(text):
        skipped = dict(match.span() for match in _MENU.finditer(text)) | _parts_around(text, tags)
    done = 0
    link_end = -1
    for match, name in tags:
        start, end = match.span()
        if start < done:
            continue
        if match["comment"] and end <= last_comment:
            end = text.index("-->", end) + len("-->")
        if name in _WITHOUT_TEXT and not match["close"]:
            ends = closing.get(name, [])
            index = bisect_left(ends, end)
            if index < len(ends):
                end = ends[index]
            elif name in ("script", "style") and _CODE.search(text, end, end + _CODE_WITHIN):
                end = len(text)  # the page was cut inside the script
        if match["cdata"] and "<![CDATA[" not in text:
            continue
        end = max(end, skipped.get(start, end))
        if name == "a" and not match["close"] and not text[link_end:start].strip() and link_end >= 0:
            yield Edit(start, end, PHRASE_END)  # two links in a row are two phrases
            done = end
            continue
        if name == "a" and match["close"]:
            link_end = end
        replacement = "" if name in INLINE else PHRASE_END if name in ("code", "math") else BLOCK_END
        yield Edit(start, end, replacement)
        done = end


def _parts_around(text: str, tags: list[tuple[re.Match[str], str]]) -> dict[int, int]:
    """Start and end of each element that is a menu, a sidebar, a banner or the like."""
    found: dict[int, int] = {}
    opened: dict[str, list[tuple[int, bool]]] = {}  # for each name, the elements that are not closed: start, is around
    for match, name in tags:
        if name not in ("div", "section", "aside", "ul", "header"):
            continue
        if not match["close"]:
            opened.setdefault(name, []).append((match.start(), bool(_AROUND.search(match[0]))))
        elif opened.get(name):
            start, around = opened[name].pop()
            share = (match.end() - start) / len(text)
            if around and share < _MAX_SHARE and not _TEXT_INSIDE.search(text, start, match.end()):
                found[start] = match.end()
    return found


def entity_edits(text: str) -> Iterator[Edit]:
    """Entities become the characters that they are; a space that does not break becomes a space."""
    if "&" not in text:
        return
    for match in _ENTITY.finditer(text):
        character = html.unescape(match[0])
        while "&" in character and character != (once_more := html.unescape(character)):
            character = once_more
        if character != match[0]:
            yield Edit(*match.span(), character.replace("\xa0", " ").replace("\xad", "").replace("\u200b", ""))
