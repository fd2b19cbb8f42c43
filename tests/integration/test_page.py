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

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from kpray.document import Document
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
    with serving(Service(options, {})) as url:
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
        assert {"Sparse networks", "sparse networks"} <= set(marks)
        assert page.locator("#text b").count() == 0  # HTML in the text is not interpreted
        expect(page.get_by_role("status")).to_contain_text(f"{len(expected)} keyphrases in")
        screenshot(page, "light")


def test_phrases_with_punctuation_are_marked(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        submit(page, "Solid-state batteries replace the liquid electrolyte.")
        expect(page.locator("#text mark").first).to_have_text("Solid-state batteries")
        for mark in string.punctuation:  # other models may generate any of them
            found = page.evaluate("([text, phrase]) => occurrences(text, phrase)", [f"An x{mark}y here", f"x{mark}y"])
            assert found == [[3, 6]], mark


def test_tokens_are_shaded(browser: Browser, address: str) -> None:
    with opened(browser, address, color_scheme="dark") as page:
        submit(page, TEXT)
        page.get_by_label("Score of each token").check()
        expect(page.locator("#text span").first).to_be_visible()
        assert page.locator("#text").inner_text() == TEXT
        shares = page.locator("#text span").evaluate_all(
            "spans => spans.map(span => Number(span.style.getPropertyValue('--share')))"
        )
        assert min(shares) == 0
        assert max(shares) == 1
        screenshot(page, "dark")


def test_page_works_with_the_keyboard_only(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.keyboard.type("Sparse networks and graphs.")  # the text has the focus
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert page.locator("#model").input_value() == "other"
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
    with serving(Service({"samrank": tiny_samrank}, {})) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address, timeout=120_000)
        context.set_offline(True)
        submit(page, TEXT)
        expect(page.get_by_role("alert")).to_have_text("The service cannot be reached. Is it still running?")
        context.close()


def test_page_asks_for_a_key(browser: Browser, tiny_samrank: dict[str, Any], keys_file: Path) -> None:
    with (
        serving(Service({"samrank": tiny_samrank, "api_keys": str(keys_file)}, {})) as address,
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
    with serving(Service({"models": [f"mine={tiny_ramkg}"], "lang": "de"}, {})) as url, opened(browser, url) as page:
        submit(page, text)
        expect(page.locator("#absent b")).to_have_text(["Graphentheorie"])
        expect(page.locator("#present b")).to_have_text(["Netze"])
        passages = page.locator("#evidence li")
        for index, found in enumerate(expected.evidence):
            expect(passages.nth(index)).to_contain_text(found.document.text)
            expect(passages.nth(index)).to_contain_text("; ".join(found.keyphrases))
        expect(passages).to_have_count(2)
        expect(page.get_by_label("Score of each token")).to_be_hidden()
        screenshot(page, "evidence")
