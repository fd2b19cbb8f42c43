"""A report as Markdown and as HTML."""

from __future__ import annotations

import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from kpray.report.page import (
    RunDetails,
    Section,
    command_line,
    duration,
    html_page,
    markdown_page,
    write_page,
    write_pages,
)
from kpray.report.render import render
from kpray.report.sweep_figures import draw_two_measures

RUN = RunDetails(
    command="kpray sweep heads --valid 'a b.jsonl' --output \"<dir>\"",
    ended="2026-01-02 03:04 UTC",
    seconds=80.4,
    configuration="address: null\nname: <x>\n",
    versions={"python": "3.11", "kpray": "1.2.3", "numpy": "2.0"},
)

SECTIONS = [
    Section("Result", "First & last.\nSecond <line>."),
    Section("Table", rows=[{"name": "a|b <i>", "score": 1.234}, {"name": "c", "score": None}]),
    Section("Pictures", images={"figures/x.svg": 'a "curve"'}),
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
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One that closes itself, of an SVG."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_markdown() -> None:
    page = markdown_page("Sweep", RUN, SECTIONS)
    assert page.startswith(
        f"# Sweep\n\n```\n{RUN.command}\n```\n\n2026-01-02 03:04 UTC, after 1 min 20 s; kpray 1.2.3, python 3.11\n\n"
        "## Result\n\nFirst & last.\n"
    )
    assert "| a\\|b <i> |  1.23 |" in page
    assert '![a "curve"](figures/x.svg)' in page
    assert "```\na: <b>\n```\n" in page
    assert page.endswith("## Configuration of this run\n\n```\naddress: null\nname: <x>\n```\n")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder with the figure of SECTIONS."""
    (tmp_path / "figures").mkdir()
    draw_two_measures([(0, 50, 400), (5, 60, 100)], tmp_path / "figures/x.svg", "tau < 5", "tau", ("recall", "pairs"))
    return tmp_path


def test_html_says_the_same_and_is_well_formed(drawn: Path) -> None:
    page = html_page("Sweep <1>", RUN, SECTIONS, drawn)
    tags = Tags(page)
    assert not tags.open
    assert page.endswith("\n</html>\n")
    assert tags.seen.count("h2") == 4
    assert tags.seen.count("tr") == 3
    for text in ("Sweep <1>", "First & last.", "Second <line>.", "a|b <i>", "1.23", "–", "a: <b>"):
        assert text in tags.texts
    # How to run it again comes first.
    assert tags.texts.index("kpray") < tags.texts.index("First & last.")
    command = page.partition('<pre class="command">')[2].partition("</pre>")[0]
    assert unescape(re.sub(r"</?span>", "", command)) == RUN.command
    assert "address: null\nname: <x>" in tags.texts
    assert "python 3.11, kpray 1.2.3, numpy 2.0" in tags.texts


def test_a_page_contains_its_figures_and_needs_no_network(drawn: Path) -> None:
    page = html_page("Sweep", RUN, SECTIONS, drawn)
    tags = Tags(page)
    assert tags.seen.count("svg") == 1
    assert "tau < 5" in tags.texts  # texts of figures are texts
    assert {"script", "link", "img", "iframe"}.isdisjoint(tags.seen)
    assert "<?xml" not in page
    assert "<!DOCTYPE svg" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)  # references within the page only
    assert not re.search(r"url\((?!#)", page)
    assert page.count("prefers-color-scheme: dark") == 2  # of the page and of the figure


def test_names_and_code_in_text(tmp_path: Path) -> None:
    page = html_page(
        "Which `heads`",
        RUN,
        [
            Section("Of `both`", "`one head`: the best of `<all>` 144; 4-12 is from all-MiniLM-L6-v2, -1.5 better."),
            Section("Table", rows=[{"the `heads`": "4-12 5-1", "minus": -1.5, "error": "`x` is 3 <= 5-6"}]),
            Section("Configuration", code="# `best`\nheads: [4-12]\n"),
        ],
        tmp_path,
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


def test_a_long_name_may_be_broken(tmp_path: Path) -> None:
    long = "-".join(["part"] * 20)
    assert f"<p>{long} of {long}</p>" in html_page("a", RUN, [Section("b", f"{long} of {long}")], tmp_path)


def test_attributes_are_escaped(drawn: Path) -> None:
    page = html_page("a", RUN, [Section("b", images={"figures/x.svg": 'a "curve" <i>'})], drawn)
    assert 'aria-label="a &#34;curve&#34; &lt;i&gt;"' in page
    assert "<figcaption>a &#34;curve&#34; &lt;i&gt;</figcaption>" in page


def test_a_png_is_within_the_page(drawn: Path) -> None:
    draw_two_measures([(0, 50, 400)], drawn / "x.png", "", "tau", ("recall", "pairs"))
    page = html_page("a", RUN, [Section("b", images={str(drawn / "x.png"): "recall"})], drawn / "elsewhere")
    assert '<img alt="" src="data:image/png;base64,iVBORw0KGgo' in page


def test_the_suffix_of_a_page_decides(drawn: Path) -> None:
    write_page(drawn / "a.html", "Sweep", RUN, SECTIONS)
    write_page(drawn / "a.md", "Sweep", RUN, SECTIONS)
    assert (drawn / "a.html").read_text("utf-8") == html_page("Sweep", RUN, SECTIONS, drawn)
    assert (drawn / "a.md").read_text("utf-8") == markdown_page("Sweep", RUN, SECTIONS)


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("report.html", sections=[])


def test_both_are_written(drawn: Path) -> None:
    write_pages(drawn, "Sweep", RUN, SECTIONS)
    assert sorted(path.name for path in drawn.iterdir()) == ["figures", "report.html", "report.md"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["/venv/bin/kpray", "batch", "--input", "a b"], "kpray batch --input 'a b'"),
        (["/src/kpray/__main__.py", "rgit"], "python -m kpray rgit"),
        (["jobs/rgit.py", "--config", "planted"], "python jobs/rgit.py --config planted"),
    ],
)
def test_the_command_line_starts_the_same_again(arguments: list[str], line: str) -> None:
    assert command_line(arguments) == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_details_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/venv/bin/kpray", "quickstart"])
    run = RunDetails.of_this_process(61.0, "a: 1\n", {"kpray": "1"})
    assert run.command == "kpray quickstart"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, after 1 min 1 s; kpray 1", run.text())
