"""The page in a real browser: it marks and explains the keyphrases of a text, and shows the request as a command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import string
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from kpray.document import Document
from kpray.predictor import Explanation
from kpray.printing import word_scores
from kpray.registry import open_predictor
from tests.ramkg.tiny_generator import RECORDS
from tests.serve.service import Service, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = os.environ.get("KPRAY_SCREENSHOTS")  # folder to save screenshots in
TEXT = "Sparse networks, and dense graphs: 𝔘nicode <b>sparse networks</b> again.\n\nThe graphs' end."

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=180_000)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tiny_samrank: dict[str, Any]) -> Iterator[str]:
    options = {"samrank": tiny_samrank, "models": ["samrank", "other=samrank"], "limits": {"characters": 5000}}
    with serving(Service(options, {}).app) as url:
        yield url


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open the page. It must not send requests to other addresses or log errors."""
    context = browser.new_context(**options)
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page = context.new_page()
    elsewhere: list[str] = []
    errors: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            elsewhere.append(request.url)

    def note_console(line: ConsoleMessage) -> None:
        if line.type == "error" and "status of 4" not in line.text:  # the browser also logs error responses
            errors.append(line.text)

    page.on("request", note_request)
    page.on("console", note_console)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert elsewhere == []
    assert errors == []


def screenshot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def submit(page: Page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Find keyphrases").click()


def test_phrases_are_listed_and_marked(browser: Browser, address: str, tiny_samrank: dict[str, Any]) -> None:
    expected = open_predictor("samrank", tiny_samrank).predict([Document(id="", body=TEXT)])[0]
    with opened(browser, address) as page:
        submit(page, TEXT)
        expect(page.locator("#present b")).to_have_text([phrase.text for phrase in expected])
        expect(page.locator("#absent")).to_have_text("none")
        assert page.locator("#text").inner_text() == TEXT
        marks = page.locator("#text mark").all_inner_texts()
        # Overlapping phrases are in one mark: "Unicode sparse networks", and "sparse networks" in it.
        assert marks == ["Sparse networks", "dense graphs", "𝔘nicode <b>sparse networks", "graphs"]
        ranks = [str(rank) for rank, phrase in enumerate(expected, 1) if "sparse networks" in phrase.text.lower()]
        assert len(ranks) == 2
        assert page.locator("#text mark").nth(2).locator("[data-rank]").get_attribute("data-rank") == ", ".join(ranks)
        assert page.locator("#text b").count() == 0  # HTML in the text is not interpreted
        expect(page.get_by_role("status")).to_contain_text(f"{len(expected)} keyphrases in")
        screenshot(page, "light")


def test_marks_follow_stems(browser: Browser, address: str) -> None:
    text = "Solid-state 𝔘 batteries use a sparse network. Sparse networks and a solid-state battery."
    with opened(browser, address) as page:
        submit(page, text)
        marks = page.locator("#text mark")
        expect(marks.first).to_be_visible()
        assert {"sparse network", "Sparse networks"} <= set(marks.all_inner_texts())
        phrases = page.locator("#present b").all_inner_texts()
        rank = next(
            str(index) for index, phrase in enumerate(phrases, 1) if phrase.lower().startswith("sparse network")
        )
        for mark in marks.filter(has_text="parse network").all():
            assert rank in str(mark.locator("[data-rank]").last.get_attribute("data-rank")).split(", ")
            assert f"{rank}. " in str(mark.get_attribute("title"))


def test_words_of_the_page_are_those_of_the_command_line(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        for mark in string.punctuation:
            text = f"An x{mark}y here, C++ 网络"
            scores = np.arange(len(text), dtype=np.float64)
            spans = np.array([(start, start + 1) for start in range(len(text))])
            tokens = [{"start": start, "end": end, "score": start} for start, end in spans.tolist()]
            words = page.evaluate("([text, tokens]) => wordScores(text, tokens)", [text, tokens])
            found = [(word["start"], word["end"], word["score"]) for word in words]
            assert found == word_scores(text, Explanation([], spans, scores)), mark


def test_overlapping_phrases_are_underlined_below_each_other(browser: Browser, address: str) -> None:
    found = [(5, 19, 1), (0, 19, 2), (12, 28, 3), (33, 37, 4)]  # start, end, rank
    with opened(browser, address) as page:
        html = page.evaluate(
            """([text, found]) => {
              const phrases = found.map(([start, end, rank]) => ({ start, end, rank, label: `${rank}.` }));
              const words = [{ start: 5, end: 11, shade: 4 }];
              return element("p", "", ...markedText(text, underline(phrases), words)).innerHTML;
            }""",
            ["deep neural network learning and more", found],
        )
    assert html == (
        '<mark title="2.; 1.; 3."><span class="l0">deep </span>'
        '<span class="s4"><span class="l1"><span class="l0">neural</span></span></span>'
        '<span class="l1"><span class="l0"> </span></span>'
        '<span class="l2"><span class="l1"><span class="l0" data-rank="1, 2">network</span></span></span>'
        '<span class="l2" data-rank="3"> learning</span></mark>'
        ' and <mark title="4."><span class="l0" data-rank="4">more</span></mark>'
    )


def test_words_are_shaded(browser: Browser, address: str) -> None:
    with opened(browser, address, color_scheme="dark") as page:
        submit(page, TEXT)
        expect(page.locator("#shades")).to_be_hidden()
        page.get_by_label("Score of each word").check()
        expect(page.locator("#text .s4").first).to_be_visible()
        expect(page.locator("#legend")).to_contain_text("higher than 50% 70% 80% 90% of the other words.")
        assert page.locator("#text").inner_text() == TEXT
        assert page.locator("#text [data-rank]").count() > 0  # the keyphrases, too
        screenshot(page, "dark")


def test_options_of_a_request(browser: Browser, address: str) -> None:
    properties = {
        "diversity": {
            "type": "number",
            "minimum": 0.0,
            "maximum": 1.0,
            "default": 0.0,
            "description": "<b>W</b>.",
        },
        "max_words": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
        "nested": {"type": "string", "enum": ["keep", "drop"], "default": "keep"},
        "stop_words": {"type": "array", "items": {"type": "string"}, "default": []},
        "by_section": {"type": "boolean", "default": False},
        "unknown_kind": {"type": "object"},
    }
    with opened(browser, address) as page:
        expect(page.locator("#top")).to_have_attribute("max", "100")  # the page has read the description of the service
        page.evaluate(
            """(properties) => {
              const fields = Object.entries(properties).map(([name, property]) => optionField(name, property));
              $("fields").replaceChildren(...fields.filter(Boolean));
              $("options").hidden = false;
            }""",
            properties,
        )
        assert page.evaluate("chosenOptions()") == {}  # the defaults are not sent
        page.get_by_text("Options", exact=True).click()
        assert page.locator("#fields label").all_inner_texts() == [
            "Diversity",
            "Max words",
            "Nested",
            "Stop words",
            "By section",
        ]
        page.get_by_label("Diversity").fill("0.5")
        page.get_by_label("Max words").fill("3")
        page.get_by_label("Nested").select_option("drop")
        page.get_by_label("Stop words").fill("ceramic, , thin layer ")
        page.get_by_label("By section").check()
        expect(page.get_by_label("Diversity")).to_have_accessible_description("<b>W</b>.")
        assert page.evaluate("chosenOptions()") == {
            "diversity": 0.5,
            "max_words": 3,
            "nested": "drop",
            "stop_words": ["ceramic", "thin layer"],
            "by_section": True,
        }
        page.get_by_text("Options", exact=True).click()
        page.get_by_label("Diversity").evaluate("field => { field.value = 2; }")  # hidden again
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Find keyphrases").click()
        expect(page.get_by_label("Diversity")).to_be_visible()  # the wrong field is shown
        assert page.locator("#result").is_hidden()


def test_options_change_the_keyphrases(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        expect(page.locator("#top")).to_have_attribute("max", "100")
        page.get_by_text("Options", exact=True).click()
        page.get_by_label("Stop words").fill("graphs, dense")
        submit(page, TEXT)
        phrases = page.locator("#present b")
        expect(phrases.first).to_be_visible()
        assert not [phrase for phrase in phrases.all_inner_texts() if "graphs" in phrase]
        assert '"stop_words":["graphs","dense"]' in page.locator("#curl").inner_text()
        page.get_by_label("Stop words").fill("two words")
        submit(page, TEXT)  # the service splits them
        expect(page.locator("#curl")).to_contain_text('"stop_words":["two words"]')
        expect(phrases.first).to_be_visible()
        screenshot(page, "options")


def test_every_option_of_a_request_has_a_field(browser: Browser, address: str) -> None:
    schema = httpx.get(f"{address}openapi.json").json()["components"]["schemas"]["KeyphrasesRequest"]
    with opened(browser, address) as page:
        expect(page.locator("#top")).to_have_attribute("max", str(int(schema["properties"]["top"]["maximum"])))
        names = page.locator("#fields [name]").evaluate_all("fields => fields.map(field => field.name)")
        elsewhere = page.evaluate("ELSEWHERE")
    assert sorted([*names, *elsewhere]) == sorted({*schema["properties"], "embeddings"})


def test_page_works_with_the_keyboard_only(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        expect(page.locator("#model option")).to_have_count(2)  # the page asks for them after it opened
        page.keyboard.type("Sparse networks and graphs.")  # the text has the focus
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#model")).to_have_value("other")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#present b").first).to_be_visible()
        assert "other" in page.locator("#curl").inner_text()


def test_page_fits_a_phone(browser: Browser, address: str) -> None:
    with opened(browser, address, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        submit(page, f"{TEXT} {'unbroken' * 40}")
        expect(page.locator("#present b").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        screenshot(page, "narrow")


def test_command_gives_the_same_result(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        submit(page, TEXT)
        expect(page.locator("#present b").first).to_be_visible()
        command = page.locator("#curl").inner_text()
        shown = page.locator("#present b").all_inner_texts()
    arguments = shlex.split(command.replace("\\\n", ""))
    assert json.loads(arguments[-1])["documents"] == [{"text": TEXT}]
    if shutil.which("curl"):
        answer = subprocess.run([*arguments, "--silent"], capture_output=True, check=True)
        [result] = json.loads(answer.stdout)["results"]
        assert [phrase["text"] for phrase in result["keyphrases"]] == shown


def test_errors_of_documents(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.get_by_label("Language").fill("lo")
        submit(page, "ເອກະສານ")
        alert = page.get_by_role("alert")
        expect(alert).to_have_text(
            "This text cannot be processed: language 'lo' is written without spaces, and kpray cannot split it "
            "into words."
        )
        screenshot(page, "error")
        page.get_by_label("Language").fill("en")
        submit(page, "x" * 5001)
        expect(alert).to_contain_text("the document has 5001 characters, but the limit is 5000")
        submit(page, TEXT)
        expect(page.locator("#present b").first).to_be_visible()
        expect(alert).to_be_hidden()


def test_unreachable_service(browser: Browser, tiny_samrank: dict[str, Any]) -> None:
    with serving(Service({"samrank": tiny_samrank}, {}).app) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address, timeout=120_000)
        context.set_offline(True)
        submit(page, TEXT)
        expect(page.get_by_role("alert")).to_have_text("The service cannot be reached. Is it still running?")
        context.close()


def test_page_asks_for_a_key(browser: Browser, tiny_samrank: dict[str, Any], keys_file: Path) -> None:
    with (
        serving(Service({"samrank": tiny_samrank, "api_keys": str(keys_file)}, {}).app) as address,
        opened(browser, address) as page,
    ):
        expect(page.get_by_role("alert")).to_contain_text("needs an API key")
        page.get_by_label("API key").fill("alice-0123456789abcdef")
        submit(page, TEXT)
        expect(page.locator("#present b").first).to_be_visible()
        assert "alice" not in page.locator("#curl").inner_text()
        assert "$KPRAY_KEY" in page.locator("#curl").inner_text()


def test_absent_phrases_and_evidence(browser: Browser, tiny_ramkg: str) -> None:
    text = RECORDS[0].document.text
    [expected] = open_predictor(tiny_ramkg).predict([Document("", text, lang="de")], explain=True)
    with (
        serving(Service({"models": [f"mine={tiny_ramkg}"], "lang": "de"}, {}).app) as url,
        opened(browser, url) as page,
    ):
        submit(page, text)
        expect(page.locator("#absent b")).to_have_text(["Graphentheorie"])
        expect(page.locator("#present b")).to_have_text(["Netze"])
        passages = page.locator("#evidence li")
        for index, found in enumerate(expected.evidence):
            expect(passages.nth(index)).to_contain_text(found.document.text)
            expect(passages.nth(index)).to_contain_text("; ".join(found.keyphrases))
        expect(passages).to_have_count(2)
        assert expected.support is not None
        rests = [support for support in expected.support if support]
        expect(page.locator("small.support")).to_have_count(len(rests))
        for index, support in enumerate(rests):
            expect(page.locator("small.support").nth(index)).to_contain_text(f"“{support[0].keyphrase}” (passage")
        expect(page.get_by_label("Score of each word")).to_be_hidden()
        screenshot(page, "evidence")
