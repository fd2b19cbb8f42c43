"""A report as Markdown and as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from kpray.report.page import Section, html_page, markdown_page, write_pages

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
    assert tags.seen.count("h2") == 4
    assert tags.seen.count("tr") == 3
    for text in ("Sweep <1>", "First & last.", "Second <line>.", "a|b <i>", "1.23", "–", "a: <b>"):
        assert text in tags.texts


def test_both_are_written(tmp_path: Path) -> None:
    write_pages(tmp_path, "Sweep", SECTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]
