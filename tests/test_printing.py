"""Shaded texts, pages, and what reaches the terminal."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kpray
from kpray.document import Document, Keyphrase
from kpray.errors import UserError
from kpray.predictor import Evidence, Explanation, Support
from kpray.printing import Piece, Printer, print_result, print_tables, shaded_pieces, word_scores

MADE_BY: dict[str, Any] = {"predictor": "samrank", "tagger": "nltk"}
VERSION = "0123456789ab"


def explanation(spans: list[tuple[int, int]], scores: list[float], *phrases: str) -> Explanation:
    keyphrases = [Keyphrase(phrase, 1.5, present=True) for phrase in phrases]
    return Explanation(keyphrases, np.array(spans, dtype=np.int32).reshape(-1, 2), np.array(scores, dtype=np.float64))


@st.composite
def explained_texts(draw: st.DrawFn) -> tuple[str, Explanation]:
    """A text with tokens in order, some of them empty or overlapping, as tokenizers give them."""
    text = draw(st.text(max_size=40))
    offsets = st.integers(0, len(text))
    ordered = st.tuples(offsets, offsets).map(lambda span: (min(span), max(span)))
    spans = draw(st.lists(ordered, max_size=12))
    scores = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.25]), min_size=len(spans), max_size=len(spans)))
    occurrences = draw(st.lists(ordered.filter(lambda span: span[0] < span[1]), max_size=6))
    found = explanation(sorted(spans), scores, *map(str, range(len(occurrences))))
    found.keyphrases[:] = [
        replace(keyphrase, offsets=(span,)) for keyphrase, span in zip(found.keyphrases, occurrences, strict=True)
    ]
    return text, found


@given(explained_texts())
def test_pieces_are_the_text(explained: tuple[str, Explanation]) -> None:
    text, given_explanation = explained
    pieces = shaded_pieces(text, given_explanation)
    assert "".join(piece.text for piece in pieces) == text
    assert all(0 <= piece.shade <= 4 for piece in pieces)
    ends: dict[int, int] = {}  # rank -> offset
    end = 0
    for piece in pieces:
        end += len(piece.text)
        ends |= dict.fromkeys(piece.ranks, end)
        covering = [
            span for phrase in given_explanation.keyphrases for span in phrase.offsets if span[1] >= end > span[0]
        ]
        assert bool(piece.lines) == bool(covering)
        assert len(piece.lines) == len(covering) or max(piece.lines) == 2  # three lines at most
    assert ends == {rank: phrase.offsets[0][1] for rank, phrase in enumerate(given_explanation.keyphrases, 1)}


def shades(text: str, given_explanation: Explanation) -> list[tuple[str, int]]:
    return [(piece.text, piece.shade) for piece in shaded_pieces(text, given_explanation)]


def test_shade_depends_on_the_share_of_the_other_words_that_score_lower() -> None:
    spans, scores = [(0, 1), (2, 3), (4, 5), (6, 7)], [0.2, 0.9, 0.2, 0.5]
    by_word = dict(shades("a b c d", explanation(spans, scores)))
    assert by_word == {"a": 0, "b": 4, " ": 0, "c": 0, "d": 1}  # shares 0, 3/3, 0 and 2/3
    text = " ".join("abcdefghijk")
    rising = shades(text, explanation([(2 * index, 2 * index + 1) for index in range(11)], list(range(11))))
    assert [shade for word, shade in rising if word != " "] == [0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4]


def test_words_are_shaded_and_not_word_pieces() -> None:
    #       0  3     9  12   17 20    26 29
    text = "lithium-ion cells, C++ 网络 x"
    spans = [(0, 3), (3, 7), (7, 8), (8, 11), (12, 17), (17, 18), (19, 20), (20, 22), (23, 24), (24, 25), (26, 27)]
    scores = [0.1, 0.8, 0.9, 0.3, 0.4, 5.0, 0.2, 0.1, 0.7, 0.6, 0.0]
    # The comma has the highest score, but it is no word.
    assert word_scores(text, explanation(spans, scores)) == [
        (0, 11, 0.9),
        (12, 17, 0.4),
        (19, 22, 0.2),
        (23, 24, 0.7),
        (24, 25, 0.6),
        (26, 27, 0.0),
    ]
    words = [(word, shade) for word, shade in shades(text, explanation(spans, scores)) if shade]
    assert words == [("lithium-ion", 4), ("网", 3), ("络", 1)]


def test_words_without_tokens_are_not_counted() -> None:
    assert word_scores("a b c", explanation([(0, 1), (1, 1), (3, 3)], [0.5, 1.0, 1.0])) == [(0, 1, 0.5)]


def test_equal_scores_are_not_shaded() -> None:
    pieces = shaded_pieces("a b c", explanation([(0, 1), (2, 3), (4, 5)], [0.0, 0.0, 0.0]))
    assert {piece.shade for piece in pieces} == {0}


def test_keyphrases_are_underlined_with_their_ranks() -> None:
    #       0    5    10   15
    text = "deep neural network learning"
    phrases = [
        Keyphrase("neural network", 0.9, present=True, offsets=((5, 19),)),
        Keyphrase("deep neural network", 0.8, present=True, offsets=((0, 19),)),
        Keyphrase("network learning", 0.7, present=True, offsets=((12, 28),)),
        Keyphrase("theory", 0.6, present=False),
    ]
    found = Explanation(phrases, np.zeros((0, 2), np.int32), np.zeros(0))
    assert shaded_pieces(text, found) == [
        Piece("deep ", 0, (0,), ()),
        Piece("neural ", 0, (0, 1), ()),
        Piece("network", 0, (0, 1, 2), (1, 2)),
        Piece(" learning", 0, (2,), (3,)),
    ]


def test_page_escapes_what_the_document_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    text = "<script>alert(1)</script> & more"
    with Printer("table", MADE_BY, page, VERSION) as printer:
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
    assert '&lt;/<span class="s4">script</span>&gt; &amp; more' in shown
    assert '<p class="text">&lt;script&gt;alert(1)' in shown  # white space counts in this paragraph: none is added
    assert " more</p>" in shown
    assert shown.endswith("</p>\n</html>\n")
    assert f"kpray: keyphrases and word scores: {page}\n" in capsys.readouterr().err


def test_terminal_gets_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31m"
    with Printer("table", MADE_BY, tmp_path / "page.html", VERSION) as printer:
        printer.print(Document(f"{red}id", f"{red}te\x9bxt\x00\n[bold]网络"), explanation([], [], f"{red}phrase"))
    out = capsys.readouterr().out
    assert set("\x1b\x9b\x00").isdisjoint(out)
    assert "\ufffd[31mid" in out
    assert "te\ufffdxt\ufffd\n[bold]网络" in out  # nor does rich take anything for its markup


def explain_in_terminal(monkeypatch: pytest.MonkeyPatch, page: Path, **variables: str) -> None:
    """Print one explained text, with these environment variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    keyphrases = [
        Keyphrase("deep networks", 0.9, present=True, offsets=((0, 13),)),
        Keyphrase("networks", 0.8, present=True, offsets=((5, 13),)),
    ]
    spans = np.array([(0, 4), (5, 13), (14, 19)], dtype=np.int32)
    with Printer("table", MADE_BY, page, VERSION) as printer:
        printer.print(Document("1", "deep networks learn"), Explanation(keyphrases, spans, np.array([0.2, 0.5, 0.1])))


def test_terminal_without_colours_shows_the_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explain_in_terminal(monkeypatch, tmp_path / "page.html", NO_COLOR="1")
    out = capsys.readouterr().out
    assert "\ndeep networks¹˒² learn\n" in out
    assert "number: a keyphrase and its rank" in out
    assert "shade" not in out


def test_terminal_with_colours_has_a_legend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    explain_in_terminal(monkeypatch, tmp_path / "page.html", FORCE_COLOR="1", COLORTERM="truecolor", TERM="xterm")
    out = capsys.readouterr().out
    assert "shade: the word scores higher than" in out
    assert "\x1b[1;4;30;48;2;166;240;198mnetworks\x1b[0m" in out  # bold, underlined, on the strongest shade
    for share in (" 50% ", " 70% ", " 80% ", " 90% "):
        assert share in out


def test_page_has_a_legend_ranks_and_contrast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    explain_in_terminal(monkeypatch, page)
    shown = page.read_text("utf-8")
    assert "the word scores higher than" in shown
    for level, share in enumerate(("50%", "70%", "80%", "90%"), 1):
        assert f'<span class="s{level}">{share}</span>' in shown
    assert '<span class="s4"><span class="l0"><span class="l1" data-rank="1, 2">networks</span></span></span>' in shown
    assert "<li>deep networks <small>0.9000</small></li>" in shown


@pytest.mark.parametrize("documents", [0, 1, 3])
def test_json_is_one_value(documents: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("json", MADE_BY, None, VERSION) as printer:
        for index in range(documents):
            printer.print(Document(str(index), "网络", lang="en"), explanation([(0, 2)], [1.0], "网络"))
    written = json.loads(capsys.readouterr().out)
    assert written["made_by"] == MADE_BY
    assert written["version"] == VERSION
    phrases = [{"text": "网络", "score": 1.5, "present": True, "offsets": []}]
    expected = [{"id": str(index), "lang": "en", "keyphrases": phrases} for index in range(documents)]
    assert written["documents"] == expected


def test_json_lines_with_token_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("jsonl", MADE_BY, tmp_path / "page.html", VERSION) as printer:
        printer.print(Document("1", "a b"), explanation([(0, 1), (2, 3)], [0.5, 1.0]))
    out, err = capsys.readouterr()
    row = json.loads(out)
    assert row["tokens"] == [{"start": 0, "end": 1, "score": 0.5}, {"start": 2, "end": 3, "score": 1.0}]
    assert row["version"] == VERSION
    assert "made_by" not in row
    assert f"kpray: version {VERSION} is {json.dumps(MADE_BY)}\n" in err


def test_configuration_is_said_once_for_all_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("jsonl", MADE_BY, None, VERSION) as printer:
        for number in range(3):
            printer.print(Document(str(number), "a"), explanation([], []))
    out, err = capsys.readouterr()
    assert [json.loads(line)["version"] for line in out.splitlines()] == [VERSION] * 3
    assert err.count(json.dumps(MADE_BY)) == 1


def test_absent_phrases_and_none_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer("table", {"predictor": "x"}, None, VERSION) as printer:
        printer.print(Document("1", "", lang="en"), Explanation([], np.zeros((0, 2), np.int32), np.zeros(0)))
        generated = [Keyphrase("graph theory", 0.25, present=False)]
        printer.print(Document("2", "", lang="en"), Explanation(generated, np.zeros((0, 2), np.int32), np.zeros(0)))
    out, err = capsys.readouterr()
    assert out == "1\n  (no keyphrases)\n\n2\n    0.2500  graph theory  (absent)\n"
    assert err == "kpray: x\n"


def test_what_a_phrase_rests_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passage = Evidence(Document("e1", "Graphs & more", lang="en"), ("graph theory", "maps"), 0.5)
    found = Explanation(
        [Keyphrase("Graphentheorie", 0.9, present=False), Keyphrase("Netze", 0.8, present=True)],
        np.zeros((0, 2), np.int32),
        np.zeros(0),
        (passage,),
        ((Support("graph theory", (0,), 3.5),), ()),
    )
    for form in ("table", "jsonl"):
        with Printer(form, MADE_BY, tmp_path / "page.html", VERSION) as printer:
            printer.print(Document("1", "Netze", lang="de"), found)
    *lines, row = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "rests" in line] == ["rests on graph theory (e1)"]
    written = json.loads(row)
    assert written["keyphrases"][0]["support"] == [{"keyphrase": "graph theory", "passages": [0], "gain": 3.5}]
    assert written["keyphrases"][1]["support"] == []
    assert written["evidence"] == [
        {"id": "e1", "text": "Graphs & more", "keyphrases": ["graph theory", "maps"], "score": 0.5}
    ]
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "rests on graph theory (e1)" in page
    assert "e1: Graphs &amp; more (graph theory; maps)" in page


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"none/page\.html: cannot write: No such file"),
        Printer("table", MADE_BY, tmp_path / "none/page.html", VERSION),
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
    with Printer("jsonl", MADE_BY, None, "0123456789ab") as printer:
        printer.print(Document("1", "网络"), explanation([], [], "网络"), {"source": "a.csv", "line": 7})
    row = json.loads(capsys.readouterr().out)
    assert (row["id"], row["source"], row["line"]) == ("1", "a.csv", 7)
