"""Shaded texts, pages, and what reaches the terminal."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kpray
from kpray.document import Document, Keyphrase
from kpray.errors import UserError
from kpray.predictor import Explanation
from kpray.printing import Printer, print_result, print_tables, shaded_pieces

MADE_BY: dict[str, Any] = {"predictor": "samrank", "tagger": "nltk"}


def explanation(spans: list[tuple[int, int]], scores: list[float], *phrases: str) -> Explanation:
    keyphrases = [Keyphrase(phrase, 1.5, present=True) for phrase in phrases]
    return Explanation(keyphrases, np.array(spans, dtype=np.int32).reshape(-1, 2), np.array(scores, dtype=np.float64))


@st.composite
def explained_texts(draw: st.DrawFn) -> tuple[str, Explanation]:
    """A text with tokens in order, some of them empty or overlapping, as tokenizers give them."""
    text = draw(st.text(max_size=40))
    places = st.integers(0, len(text))
    spans = draw(st.lists(st.tuples(places, places).map(lambda span: (min(span), max(span))), max_size=12))
    scores = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.25]), min_size=len(spans), max_size=len(spans)))
    return text, explanation(sorted(spans), scores)


@given(explained_texts())
def test_pieces_are_the_text(explained: tuple[str, Explanation]) -> None:
    text, given_explanation = explained
    pieces = shaded_pieces(text, given_explanation)
    assert "".join(piece for piece, _ in pieces) == text
    assert all(0 <= share <= 1 for _, share in pieces)


def test_share_is_the_part_of_the_other_tokens_that_score_lower() -> None:
    spans, scores = [(0, 1), (1, 2), (3, 4), (5, 6)], [0.2, 0.9, 0.2, 0.5]
    shares = {piece: share for piece, share in shaded_pieces("ab c-d", explanation(spans, scores)) if piece}
    assert shares == pytest.approx({"a": 0, "b": (3 / 3) ** 3, " ": 0, "c": 0, "-": 0, "d": (2 / 3) ** 3})


def test_equal_scores_are_not_shaded() -> None:
    pieces = shaded_pieces("a b c", explanation([(0, 1), (2, 3), (4, 5)], [0.0, 0.0, 0.0]))
    assert {share for _, share in pieces} == {0.0}


def test_page_escapes_what_the_document_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    text = "<script>alert(1)</script> & more"
    with Printer("table", MADE_BY, page) as printer:
        for spans in ([(0, 8), (16, 25)], []):
            document = Document('<b id="x">', text)
            printer.print(document, explanation(spans, [1.0, 2.0][: len(spans)], "<i>phrase</i>"))
    shown = page.read_text("utf-8")
    for written in ("<script", "<b id", "<i>"):
        assert written not in shown
    assert shown.count("&lt;script&gt;") == 2
    assert "&lt;b id=&#34;x&#34;&gt;" in shown
    assert "&lt;i&gt;phrase&lt;/i&gt;" in shown
    assert "&amp; more" in shown
    assert '<span style="--share:1.00">&lt;/script&gt;</span>' in shown
    assert "<p>&lt;script&gt;alert(1)" in shown  # white space counts in this paragraph: none is added
    assert " more</p>" in shown
    assert shown.endswith("</p>\n</html>\n")
    assert f"kpray: token scores: {page}\n" in capsys.readouterr().err


def test_terminal_gets_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31m"
    with Printer("table", MADE_BY, tmp_path / "page.html") as printer:
        printer.print(Document(f"{red}id", f"{red}te\x9bxt\x00\n[bold]网络"), explanation([], [], f"{red}phrase"))
    out = capsys.readouterr().out
    assert set("\x1b\x9b\x00").isdisjoint(out)
    assert "\ufffd[31mid" in out
    assert "te\ufffdxt\ufffd\n[bold]网络" in out  # nor does rich take anything for its markup


@pytest.mark.parametrize("documents", [0, 1, 3])
def test_json_is_one_value(documents: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("json", MADE_BY, None) as printer:
        for place in range(documents):
            printer.print(Document(str(place), "网络"), explanation([(0, 2)], [1.0], "网络"))
    written = json.loads(capsys.readouterr().out)
    assert written["made_by"] == MADE_BY
    phrases = [{"text": "网络", "score": 1.5, "present": True}]
    expected = [{"id": str(place), "lang": "en", "keyphrases": phrases} for place in range(documents)]
    assert written["documents"] == expected


def test_json_lines_with_token_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("jsonl", MADE_BY, tmp_path / "page.html") as printer:
        printer.print(Document("1", "a b"), explanation([(0, 1), (2, 3)], [0.5, 1.0]))
    row = json.loads(capsys.readouterr().out)
    assert row["tokens"] == [{"start": 0, "end": 1, "score": 0.5}, {"start": 2, "end": 3, "score": 1.0}]
    assert row["made_by"] == MADE_BY


def test_absent_phrases_and_none_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("table", {"predictor": "x"}, None) as printer:
        printer.print(Document("1", ""), Explanation([], np.zeros((0, 2), np.int32), np.zeros(0)))
        generated = [Keyphrase("graph theory", 0.25, present=False)]
        printer.print(Document("2", ""), Explanation(generated, np.zeros((0, 2), np.int32), np.zeros(0)))
    out, err = capsys.readouterr()
    assert out == "1\n  (no keyphrases)\n\n2\n    0.2500  graph theory  (absent)\n"
    assert err == "kpray: x\n"


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"none/page\.html: cannot write: No such file"),
        Printer("table", MADE_BY, tmp_path / "none/page.html"),
    ):
        pass


def test_printed_tables_have_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables({"numbers": [{"a column": 1}], "nothing": []})
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.strip(" ─")] == [
        ["numbers"],
        ["a", "column"],
        ["1"],
    ]


def test_a_result_is_a_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_result("3 documents written")
    assert capsys.readouterr() == ("3 documents written\n", "")


def test_nothing_else_prints() -> None:
    package = Path(kpray.__file__).parent
    callers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert callers == {"printing.py"}


def test_origin_of_a_record_is_part_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("jsonl", MADE_BY, None) as printer:
        printer.print(Document("1", "网络"), explanation([], [], "网络"), {"source": "a.csv", "line": 7})
    row = json.loads(capsys.readouterr().out)
    assert (row["id"], row["source"], row["line"]) == ("1", "a.csv", 7)
