"""Evaluation under each protocol, worked by hand."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpray.document import Document, Keyphrase, Record
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import PROTOCOLS
from kpray.metrics.results import Report

SAMRANK, MENG, RAMKG = PROTOCOLS["samrank"], PROTOCOLS["meng"], PROTOCOLS["ramkg"]


def record(
    id_: str,
    gold: Sequence[str],
    text: str = "",
    *,
    lang: str = "en",
    stemmed: Sequence[str] | None = None,
    line: int = 1,
) -> Record:
    document = Document(id=id_, body=text, lang=lang)
    return Record(document, tuple(gold), None if stemmed is None else tuple(stemmed), source="data.jsonl", line=line)


def ranked(*phrases: str) -> list[Keyphrase]:
    return [Keyphrase(phrase, score=-index, present=True) for index, phrase in enumerate(phrases)]


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def mean(report: Report, metric: str) -> float | None:
    return report.scores[metric].mean


def test_samrank_f1_is_the_mean_of_the_documents_f1() -> None:
    records = [
        record("1", ["networks", "graphs", "trees"], stemmed=["network", "graph", "tree"]),
        record("2", ["heat"], stemmed=["heat"]),
    ]
    predictions = {
        # There are six unique stems; the second and the sixth are correct.
        ("en", "1"): ranked("one", "Network", "networks", "three", "four", "five", "graph"),
        ("en", "2"): ranked("heat", "cold"),  # fewer than five: 1 of 2 is correct
    }
    report = evaluate(records, predictions, SAMRANK)
    assert mean(report, "precision@5") == pytest.approx(100 * (1 / 5 + 1 / 2) / 2)
    assert mean(report, "recall@5") == pytest.approx(100 * (1 / 3 + 1 / 1) / 2)
    assert mean(report, "f1@5") == pytest.approx(100 * (f1(1 / 5, 1 / 3) + f1(1 / 2, 1 / 1)) / 2)
    assert mean(report, "f1@10") == pytest.approx(100 * (f1(2 / 6, 2 / 3) + f1(1 / 2, 1 / 1)) / 2)
    assert mean(report, "f1@15") == mean(report, "f1@10")
    assert report.scores["f1@5"].documents == 2
    assert set(report.scores) == {f"{name}@{k}" for name in ("precision", "recall", "f1") for k in (5, 10, 15)}


def test_samrank_never_stems_shipped_gold_again() -> None:
    # Another stemming would turn "univers" into "univ", which matches nothing.
    records = [record("1", ["universities"], stemmed=["univers"]), record("2", ["universities"])]
    predictions = {("en", id_): ranked("university") for id_ in ("1", "2")}
    report = evaluate(records, predictions, SAMRANK)
    assert report.documents["f1@5"] == [100, 100]


def test_samrank_counts_repeated_gold_once() -> None:
    report = evaluate([record("1", [], stemmed=["a", "b", "a"])], {("en", "1"): ranked("a")}, SAMRANK)
    assert report.documents["recall@5"] == [pytest.approx(100 * 1 / 2)]


def test_meng_scores_present_and_absent_separately() -> None:
    text = "Graph networks learn from real-time data."
    records = [record("1", ["graph network", "real time data", "deep learning", "physics"], text)]
    predictions = {
        ("en", "1"): ranked("Graph Networks", "deep learning", "network graph", "learn", "graph network", "real-time"),
    }
    report = evaluate(records, predictions, MENG)
    values = {metric: values[0] for metric, values in report.documents.items()}
    # Present gold: 2. Present predictions: graph network, learn, real-time; "graph network" occurs twice.
    assert values["#PK_gold"] == 2
    assert values["#PK"] == 3
    assert values["present_f1@5"] == pytest.approx(100 * f1(1 / 3, 1 / 2))
    assert values["present_f1@5_padded"] == pytest.approx(100 * f1(1 / 5, 1 / 2))
    assert values["present_f1@M"] == pytest.approx(100 * f1(1 / 3, 1 / 2))
    assert values["present_f1@O"] == pytest.approx(100 * f1(1 / 2, 1 / 2))
    # Absent gold: 2. Absent predictions: deep learning, network graph.
    assert values["#AK_gold"] == 2
    assert values["#AK"] == 2
    assert values["absent_f1@5"] == values["absent_f1@M"] == pytest.approx(100 * f1(1 / 2, 1 / 2))
    assert values["absent_f1@5_padded"] == pytest.approx(100 * f1(1 / 5, 1 / 2))
    assert "present_f1@M_padded" not in values


def test_meng_skips_a_document_on_the_side_without_gold() -> None:
    records = [record("1", ["graph"], "a graph"), record("2", ["heat"], "a graph"), record("3", [], "a graph")]
    predictions = {("en", id_): ranked("graph", "heat") for id_ in ("1", "2", "3")}
    report = evaluate(records, predictions, MENG)
    assert report.documents["present_f1@M"] == [100, None]
    assert report.documents["absent_f1@M"] == [None, 100]
    assert (report.scores["present_f1@M"].mean, report.scores["present_f1@M"].documents) == (100, 1)
    assert (report.scores["#PK"].mean, report.scores["#PK"].documents) == (1, 2)
    assert report.without_gold == (("en", "3"),)

    counting_zero = evaluate(records, predictions, dataclasses.replace(MENG, empty_gold="zero"))
    assert counting_zero.documents["present_f1@M"] == [100, 0]
    assert counting_zero.scores["present_f1@M"].mean == 100 / 2


def test_a_side_without_any_gold_has_no_score() -> None:
    report = evaluate([record("1", ["graph"], "a graph")], {("en", "1"): ranked("graph")}, MENG)
    score = report.scores["absent_f1@M"]
    assert (score.mean, score.low, score.high, score.documents) == (None, None, None, 0)


def test_meng_bag_of_words_over_present_and_absent_stems() -> None:
    records = [record("1", ["graph networks", "physics"], "graph network")]
    report = evaluate(records, {("en", "1"): ranked("graphs", "network", "heat", "Heat")}, MENG)
    # graph 1:1, network 1:1, physic 0:1, heat 1:0
    assert mean(report, "bag_of_words_error") == pytest.approx((0**2 + 0**2 + 1**2 + 1**2) / 4)
    assert mean(report, "bag_of_words_distance") == 0 + 0 + 1 + 1
    assert report.scores["bag_of_words_error"].unit == "count"


def test_presence_does_not_depend_on_the_predictor() -> None:
    predictions = {("en", "1"): [Keyphrase("graph", 1.0, present=False)]}
    report = evaluate([record("1", ["graph"], "a graph")], predictions, MENG)
    assert report.documents["present_f1@M"] == [100]


def test_ramkg_averages_over_documents_of_all_languages() -> None:
    records = [
        record("1", ["深度学习", "图"], lang="zh_CN"),
        record("2", ["图"], lang="zh_CN"),
        record("3", ["图"], lang="zh_CN"),
        record("1", ["Graph-Networks!", "heat"], lang="ko_KR"),
    ]
    predictions = {
        ("zh_CN", "1"): ranked("图", "深度", "树"),  # 1 of 3, 1 of 2
        ("zh_CN", "2"): ranked("图"),
        ("zh_CN", "3"): ranked("树"),
        ("ko_KR", "1"): ranked("graphnetworks", "GraphNetworks", "heats"),  # a duplicate; no stemming
    }
    report = evaluate(records, predictions, RAMKG)
    chinese = 100 * (f1(1 / 3, 1 / 2) + 1 + 0) / 3
    korean = 100 * f1(1 / 2, 1 / 2)
    assert report.languages["zh_CN"]["f1@M"].mean == pytest.approx(chinese)
    assert report.languages["ko_KR"]["f1@M"].mean == pytest.approx(korean)
    assert mean(report, "f1@M") == pytest.approx((3 * chinese + 1 * korean) / 4)  # weighted by documents
    assert set(report.scores) == {"precision@M", "recall@M", "f1@M"}


@pytest.mark.parametrize("gold", [[], [""], ["  "], ["?!"]])
def test_ramkg_skips_gold_that_is_empty_once_normalized(gold: list[str]) -> None:
    report = evaluate([record("1", gold), record("2", ["a"])], {("en", "2"): ranked("a")}, RAMKG)
    assert report.without_gold == (("en", "1"),)
    assert report.keys == (("en", "2"),)
    assert mean(report, "f1@M") == 100


def test_the_report_lists_all_documents_that_were_not_scored() -> None:
    records = [record("1", ["a"]), record("2", ["a"]), record("3", ["a"]), record("4", []), record("5", [])]
    predictions = {("en", "1"): ranked("a"), ("en", "2"): [], ("en", "4"): ranked("a"), ("fr", "1"): ranked("a")}
    report = evaluate(records, predictions, SAMRANK)
    assert report.records == 5
    assert report.documents["f1@5"] == [100, 0, 0]
    assert report.missing == (("en", "3"),)
    assert report.without_gold == (("en", "4"), ("en", "5"))
    assert report.unknown == (("fr", "1"),)


def test_no_prediction_at_all_scores_zero() -> None:
    report = evaluate([record("1", ["a"])], {}, SAMRANK)
    assert mean(report, "f1@5") == 0
    assert report.missing == (("en", "1"),)


def test_repeated_ids_are_refused() -> None:
    records = [record("7", ["a"], line=3), record("7", ["a"], lang="fr", line=4), record("7", ["b"], line=9)]
    with pytest.raises(UserError, match=r"data\.jsonl:9: the id '7' of language en was already used in data\.jsonl:3"):
        evaluate(records, {}, SAMRANK)


def test_predictions_of_other_data_are_refused() -> None:
    with pytest.raises(UserError, match=r"none of the 1 predictions.*'1' of language zh, .*'1' of language zh_CN"):
        evaluate([record("1", ["a"], lang="zh_CN")], {("zh", "1"): ranked("a")}, RAMKG)


@pytest.mark.parametrize("records", [[], [record("1", [])]])
def test_data_without_gold_is_refused(records: list[Record]) -> None:
    with pytest.raises(UserError, match="no record has gold"):
        evaluate(records, {}, SAMRANK)


words = st.sampled_from(["graph", "graphs", "network", "Networks", "heat", "deep heat", "real-time", "time"])
documents = st.lists(st.tuples(st.lists(words, max_size=5), st.lists(words, max_size=8)), min_size=1, max_size=5)


def build(drawn: list[tuple[list[str], list[str]]]) -> tuple[list[Record], dict[tuple[str, str], list[Keyphrase]]]:
    records = [record(str(index), [*gold, "time"], "real time heat of graphs") for index, (gold, _) in enumerate(drawn)]
    return records, {("en", str(index)): ranked(*predicted) for index, (_, predicted) in enumerate(drawn)}


@pytest.mark.parametrize("name", PROTOCOLS)
@given(drawn=documents, order=st.randoms(use_true_random=False))
def test_order_of_documents_changes_no_mean(
    name: str, drawn: list[tuple[list[str], list[str]]], order: random.Random
) -> None:
    records, predictions = build(drawn)
    shuffled = records.copy()
    order.shuffle(shuffled)
    first, second = (evaluate(some, predictions, PROTOCOLS[name]) for some in (records, shuffled))
    for metric, score in first.scores.items():
        assert second.scores[metric].mean == pytest.approx(score.mean)
        if score.unit == "percent" and score.mean is not None:
            assert 0 <= score.mean <= 100 + 1e-9


@pytest.mark.parametrize("name", PROTOCOLS)
@given(drawn=documents)
def test_repeated_predictions_change_nothing(name: str, drawn: list[tuple[list[str], list[str]]]) -> None:
    records, predictions = build(drawn)
    repeated = {key: [phrase for phrase in phrases for _ in (0, 1)] for key, phrases in predictions.items()}
    first, second = (evaluate(records, some, PROTOCOLS[name]) for some in (predictions, repeated))
    assert first == second


def test_predicting_the_gold_gives_the_maximum_score_on_inspec(data_file: Callable[[str], Path]) -> None:
    with data_file("samrank/inspec.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    records = [record(row["id"], row["keyphrases"], row["text"], stemmed=row["keyphrases_stem"]) for row in rows]
    predictions = {("en", row["id"]): ranked(*row["keyphrases"]) for row in rows}
    report = evaluate(records, predictions, SAMRANK)
    sizes = [len(set(row["keyphrases_stem"])) for row in rows]
    best = sum(f1(1, min(size, 5) / size) for size in sizes) / len(sizes)
    assert mean(report, "f1@5") == pytest.approx(100 * best)
    assert mean(report, "precision@15") == pytest.approx(100)
