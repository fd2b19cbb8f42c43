"""Text of HTML and reStructuredText."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kpray.errors import RejectedDocument
from kpray.text.edits import BLOCK_END, PHRASE_END
from kpray.text.html import INLINE, LEFT_OUT

if TYPE_CHECKING:
    from docutils import nodes
    from lxml import etree

# What surrounds the text of a web page.
_AROUND = frozenset("nav footer aside dialog form button menu".split())
_AROUND_ROLES = frozenset("navigation banner contentinfo complementary search dialog menu".split())
_AROUND_CLASSES = frozenset("headerlink toc table-of-contents navheader navfooter breadcrumb breadcrumbs".split())
_CODE = frozenset("code math samp kbd var".split())
_WORD_ROLES = frozenset("ref doc term abbr title numref any pep rfc dfn guilabel menuselection".split())
_ROLE = re.compile(r":(?:\w+:)?(\w+):`([^`<]+)(?:<[^`]*>)?`")


def html_text(contents: bytes) -> tuple[str, str]:
    """Title and text of an HTML page in UTF-8.

    The title is the only heading of level 1, or the page's title. The text is that of the page's main part, if it has
    one. Menus, tables of contents, forms, footers, scripts and code are left out. An empty line separates blocks.
    """
    from lxml import etree

    # A "huge" tree may be 2,048 levels deep, and not only 256, as in old pages that do not close their tags.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, remove_comments=True, remove_pis=True)
    root = _parse(contents, parser, "HTML") if contents.strip() else None
    return ("", "") if root is None else page_text(root)


def _parse(contents: bytes, parser: Any, kind: str) -> etree._Element | None:
    from lxml import etree

    try:
        root = etree.fromstring(contents, parser)
    except etree.XMLSyntaxError as error:
        raise RejectedDocument(f"the {kind} cannot be read: {error.msg}") from error
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):  # the rest would be missing
        raise RejectedDocument(f"the {kind} is nested too deeply, or a text in it is too long")
    return root


def xhtml_text(contents: bytes) -> tuple[str, str]:
    """As `html_text`, for the XHTML of a book, where `<title/>` is an element without content."""
    root = parse_xml(contents, recover=True)
    return ("", "") if root is None else page_text(root)


def parse_xml(contents: bytes, recover: bool = False) -> etree._Element | None:
    """Root of an XML document, without expanding entities and without reading anything from the network.

    Raises:
        RejectedDocument: it is not XML.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=recover,
        remove_comments=True,
        remove_pis=True,
    )
    return _parse(contents, parser, "XML")


def local_name(element: etree._Element) -> str:
    """Name of an element without its namespace, in lower case; empty for an entity."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def page_text(root: etree._Element) -> tuple[str, str]:
    """Title and text of a parsed page."""
    named: dict[str, list[etree._Element]] = {"title": [], "main": [], "article": [], "body": []}
    for element in root.iter():
        name = "main" if element.get("role") == "main" else local_name(element)
        if name in named:
            named[name].append(element)
    content = root
    for name in ("body", "article", "main"):
        if len(named[name]) == 1:
            content = named[name][0]
    blocks = _Blocks(content)
    if not blocks.texts:
        blocks = _Blocks(root, _AROUND_NOTHING)
    title = blocks.title
    if not title and named["title"]:
        title = " ".join("".join(named["title"][0].itertext()).split())
    repeated = blocks.title_index if blocks.title else 0 if blocks.texts[:1] == [title] else -1
    return title, BLOCK_END.join(text for index, text in enumerate(blocks.texts) if index != repeated)


_AROUND_NOTHING: frozenset[str] = frozenset()


class _Blocks:
    """Blocks of text of an element; its only heading of level 1 is the title."""

    def __init__(self, root: etree._Element, around: frozenset[str] = _AROUND) -> None:
        self.texts: list[str] = []
        self.title, self.title_index = "", -1
        self._parts: list[str] = []
        headings: list[int] = []
        self._walk(root, around, headings)
        self._end()
        headings = [index for index in headings if index < len(self.texts)]
        if len(set(headings)) == 1:
            self.title_index = headings[0]
            self.title = self.texts[headings[0]]

    def _walk(self, root: etree._Element, around: frozenset[str], headings: list[int]) -> None:
        """Read the tree without recursion, since a page may be nested deeply."""
        stack: list[tuple[etree._Element, bool]] = [(root, False)]
        while stack:
            element, closing = stack.pop()
            name = local_name(element)
            block = bool(name) and name not in INLINE and name not in _CODE
            if closing:
                if block:
                    self._end()
                if element is not root and element.tail:
                    self._parts.append(element.tail)
                continue
            stack.append((element, True))
            if block:
                self._end()
            if not name:  # an entity
                self._parts.append(html.unescape(element.text or ""))
            elif name in _CODE:
                self._parts.append(PHRASE_END)
            elif not self._is_left_out(element, name, around):
                if name == "h1":
                    headings.append(len(self.texts))
                self._parts.append(element.text or "")
                stack += [(child, False) for child in reversed(element)]

    def _is_left_out(self, element: etree._Element, name: str, around: frozenset[str]) -> bool:
        return (
            name in LEFT_OUT
            or name in around
            or (bool(around) and element.get("role") in _AROUND_ROLES)
            or element.get("hidden") is not None
            or not _AROUND_CLASSES.isdisjoint((element.get("class") or "").lower().split())
        )

    def _end(self) -> None:
        text = " ".join("".join(self._parts).split())
        if text.strip(" ,"):
            self.texts.append(text)
        self._parts = []


def rst_text(source: str, max_characters: int) -> tuple[str, str]:
    """Title and text of a reStructuredText document.

    Code, raw parts, comments, images and tables of contents are left out. No other file is read. An empty line
    separates blocks.
    """
    from docutils import nodes
    from docutils.core import publish_doctree

    settings = {
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "report_level": 5,  # nothing is reported or ends the reading: documents use the directives of other tools
        "halt_level": 5,
        "docinfo_xform": False,
        "input_encoding": "unicode",
        "line_length_limit": max_characters,
        "_disable_config": True,
    }
    try:
        document = publish_doctree(source, settings_overrides=settings)
        title = document.next_node(nodes.title) if document.get("title") else None
        blocks = [" ".join("".join(_rst_words(block)).split()) for block in _rst_blocks(document) if block is not title]
        name = " ".join("".join(_rst_words(title)).split()) if title else ""
    except RecursionError as error:
        raise RejectedDocument("the reStructuredText is nested too deeply") from error
    return name, BLOCK_END.join(block for block in blocks if block.strip(" ,"))


def _rst_blocks(node: nodes.Element) -> Iterator[nodes.TextElement]:
    """Elements that have text, in their order."""
    from docutils import nodes

    left_out = (nodes.FixedTextElement, nodes.Invisible, nodes.system_message, nodes.field_name, nodes.raw)
    for child in node.children:
        if isinstance(child, left_out) or "contents" in child.get("classes", ()):
            continue
        if isinstance(child, nodes.TextElement):
            yield child
        elif isinstance(child, nodes.Element):
            yield from _rst_blocks(child)


def _rst_words(node: nodes.Element) -> Iterator[str]:
    from docutils import nodes

    for child in node.children:
        if isinstance(child, nodes.Text):
            yield child.astext()
        elif isinstance(child, nodes.problematic):  # a role of another tool
            role = _ROLE.search(child.astext())
            yield role[2] if role and role[1] in _WORD_ROLES else PHRASE_END
        elif isinstance(child, nodes.literal | nodes.math | nodes.image):
            yield PHRASE_END
        elif isinstance(child, nodes.Element):
            yield from _rst_words(child)
