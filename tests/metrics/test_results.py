"""Reports: JSON, table rows, and comparisons."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kpray.document import Document, Keyphrase, Record
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import PROTOCOLS
from kpray.metrics.results import Report, compare

# Text and gold phrases; the document "en/3" has no absent gold.
DATA = {
    ("en", "1"): ("graph networks", ("graph", "physics")),
    ("en", "2"): ("heat", ("heat", "physics")),
    ("en", "3"): ("heat", ("heat",)),
    ("fr", "1"): ("chaleur", ("chaleur", "physique")),
}
RECORDS = [Record(Document(id_, text, lang=lang), gold) for (lang, id_), (text, gold) in DATA.items()]


def run(*phrases: str, protocol: str = "meng", records: list[Record] = RECORDS) -> Report:
    """The report of a run that predicts the same phrases for every document."""
    keyphrases = [Keyphrase(phrase, 1.0, True) for phrase in phrases]
    keys = [(record.document.lang, record.document.id) for record in records]
    return evaluate(records, dict.fromkeys(keys, keyphrases), PROTOCOLS[protocol])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_json_round_trip(protocol: str) -> None:
    report = run("heat", "physics", protocol=protocol)
    assert Report.from_json(report.to_json()) == report


def test_json_holds_the_whole_protocol() -> None:
    stored = json.loads(run("heat").to_json())
    assert stored["protocol"] == json.loads(json.dumps(dataclasses.asdict(PROTOCOLS["meng"])))
    assert stored["documents"]["absent_f1@M"] == [0, 0, None, 0]


@pytest.mark.parametrize(("text", "message"), [("{", "Invalid JSON"), ('{"seed": 1}', "protocol: ")])
def test_other_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"old\.json: this is not an evaluation report \({message}"):
        Report.from_json(text, source="old.json")


def test_score_rows_have_one_row_for_each_side_and_cutoff() -> None:
    report = run("heat", "physics")
    rows = {row["score"]: row for row in report.score_rows()}
    assert list(rows) == [
        *("present @5", "present @5 padded", "present @M", "present @O"),
        *("absent @5", "absent @5 padded", "absent @M", "absent @O"),
        *("total @5", "total @5 padded", "total @M", "total @O"),
    ]
    assert rows["absent @M"]["F1"] == report.scores["absent_f1@M"].mean
    assert rows["absent @M"]["95% low"] == report.scores["absent_f1@M"].low
    assert rows["absent @M"]["documents"] == 3
    assert [row["score"] for row in run("heat", protocol="samrank").score_rows()] == ["@5", "@10", "@15"]


def test_quantity_rows_hold_the_metrics_that_are_not_in_percent() -> None:
    rows = {row["quantity"]: row["mean"] for row in run("heat", "physics", "stars").quantity_rows()}
    assert rows["#PK"] == (0 + 1 + 1 + 0) / 4
    assert rows["#AK"] == (3 + 2 + 2 + 3) / 4
    assert rows["#AK_gold"] == (1 + 1 + 0 + 1) / 4
    assert run("heat", protocol="ramkg").quantity_rows() == []


def test_language_rows_end_with_all_documents() -> None:
    rows = run("heat", protocol="ramkg").language_rows()
    assert [(row["language"], row["documents"]) for row in rows] == [("en", 3), ("fr", 1), ("all, by document", 4)]
    assert rows[-1]["@M F1"] == pytest.approx((3 * float(rows[0]["@M F1"] or 0) + 1 * 0) / 4)


def test_document_rows_name_the_first_few() -> None:
    records = [*RECORDS, Record(Document("9", ""))]
    prediction = [Keyphrase("heat", 1.0, True)]
    report = evaluate(records, {("en", "1"): prediction, ("de", "5"): prediction}, PROTOCOLS["samrank"])
    assert [(row["number"], row["first"]) for row in report.document_rows()] == [
        (5, ""),
        (4, ""),
        (1, "en/9"),
        (3, "en/2, en/3, fr/1"),
        (1, "de/5"),
    ]


def test_a_run_does_not_differ_from_itself() -> None:
    for comparison in compare(run("heat"), run("heat")).values():
        assert (comparison.difference, comparison.low, comparison.high, comparison.p_value) == (0, 0, 0, 1)


def test_difference_of_the_means_over_common_documents() -> None:
    a, b = run("heat", "physics"), run("graph", records=RECORDS[1:])
    comparison = compare(a, b)
    # Only en/2, en/3 and fr/1 are in both; en/3 has no absent gold.
    assert comparison["present_f1@M"].documents == 3
    assert comparison["present_f1@M"].difference == pytest.approx(100 * (1 + 1 + 0) / 3)
    assert comparison["absent_f1@M"].documents == 2
    assert comparison["absent_recall@M"].difference == pytest.approx(100 * (1 + 0) / 2)
    back = compare(b, a)["present_f1@M"]
    assert back.difference == pytest.approx(-comparison["present_f1@M"].difference)


def test_the_order_of_records_does_not_matter_to_a_comparison() -> None:
    assert all(
        comparison.p_value == 1 for comparison in compare(run("heat"), run("heat", records=RECORDS[::-1])).values()
    )


def test_reports_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UserError, match="different protocols, meng and samrank"):
        compare(run("heat"), run("heat", protocol="samrank"))
    with pytest.raises(UserError, match="no document in common"):
        compare(run("heat", records=RECORDS[:1]), run("heat", records=RECORDS[1:]))


def test_micro_f1_by_hand() -> None:
    """Correct, predicted and gold phrases are summed over the documents that count."""
    predicted = {("en", "1"): ["graph", "heat"], ("en", "2"): ["heat"], ("en", "3"): [], ("fr", "1"): ["chaleur"]}
    keyphrases = {key: [Keyphrase(phrase, 1.0, True) for phrase in phrases] for key, phrases in predicted.items()}
    report = evaluate(RECORDS, keyphrases, PROTOCOLS["ramkg"], micro=True)
    score = report.scores["micro_f1@M"]
    assert score.mean == pytest.approx(100 * 2 * 3 / (4 + 7))
    assert score.low is not None
    assert score.high is not None
    assert 0 < score.low < (score.mean or 0) < score.high <= 100
    assert report.languages["fr"]["micro_f1@M"].mean == pytest.approx(100 * 2 * 1 / (1 + 2))
    [row] = report.score_rows()
    assert row["micro F1"] == score.mean
    assert Report.from_json(report.to_json()) == report
    sides = evaluate(RECORDS, keyphrases, PROTOCOLS["meng"], micro=True).scores
    assert sides["absent_micro_f1@M"].documents == 3  # "en/3" has no absent gold
    assert sides["absent_micro_f1@M"].mean == 0
    assert sides["present_micro_f1@5_padded"].mean == pytest.approx(100 * 2 * 3 / (4 * 5 + 4))
    without = evaluate(RECORDS, keyphrases, PROTOCOLS["ramkg"])
    assert not any("micro" in name for name in without.scores)
    assert "micro F1" not in without.score_rows()[0]
