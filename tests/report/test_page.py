"""A report as Markdown and as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from kpray.report.page import Section, html_page, markdown_page, write_pages
from kpray.report.render import render

SECTIONS = [
    Section("Result", "First & last.\nSecond <line>."),
    Section("Table", rows=[{"name": "a|b <i>", "score": 1.234}, {"name": "c", "score": None}]),
    Section("Pictures", images={"figures/x.png": 'a "curve"'}),
    Section("Configuration", code="a: <b>\n"),
]


class Tags(HTMLParser):
    """Counts tags, and sees that each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_markdown() -> None:
    page = markdown_page("Sweep", SECTIONS)
    assert page.startswith("# Sweep\n\n## Result\n\nFirst & last.\n")
    assert "| a\\|b <i> |  1.23 |" in page
    assert '![a "curve"](figures/x.png)' in page
    assert page.endswith("```\na: <b>\n```\n")


def test_html_says_the_same_and_is_well_formed() -> None:
    tags = Tags(html_page("Sweep <1>", SECTIONS))
    assert not tags.open
    assert html_page("Sweep <1>", SECTIONS).endswith("\n</html>\n")
    assert tags.seen.count("h2") == 4
    assert tags.seen.count("tr") == 3
    for text in ("Sweep <1>", "First & last.", "Second <line>.", "a|b <i>", "1.23", "–", "a: <b>"):
        assert text in tags.texts


def test_names_and_code_in_text() -> None:
    page = html_page(
        "Which `heads`",
        [
            Section("Of `both`", "`one head`: the best of `<all>` 144; 4-12 is from all-MiniLM-L6-v2, -1.5 better."),
            Section("Table", rows=[{"the `heads`": "4-12 5-1", "minus": -1.5, "error": "`x` is 3 <= 5-6"}]),
            Section("Configuration", code="# `best`\nheads: [4-12]\n"),
        ],
    )
    shown = page.replace("<pre># `best`\nheads: [4-12]</pre>", "")  # stands as it is
    assert shown != page
    title = "<title>Which `heads`</title>"  # of the window: text alone
    assert title in shown
    assert "`" not in shown.replace(title, "")
    assert "<code>one head</code>: the best of <code>&lt;all&gt;</code> 144;" in shown
    assert "<h2>Of <code>both</code></h2>" in shown
    assert "the <code>heads</code></th>" in shown
    assert re.search(r"\.name[^{]*{ white-space: nowrap; }", shown)
    for name in ("4-12", "5-1", "all-MiniLM-L6-v2", "5-6"):
        assert shown.count(name) == shown.count(f'<span class="name">{name}</span>') > 0
    assert " -1.5 better" in shown
    assert '<td class="number">-1.50</td>' in shown


def test_attributes_are_escaped() -> None:
    page = html_page("a", [Section("b", images={'x".png': 'a "curve" <i>'})])
    assert '<img src="x&#34;.png" alt="a &#34;curve&#34; &lt;i&gt;">' in page


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("report.html", sections=[])


def test_both_are_written(tmp_path: Path) -> None:
    write_pages(tmp_path, "Sweep", SECTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]
