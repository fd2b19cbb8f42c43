"""Sizes of datasets and case studies, by hand."""

from __future__ import annotations

import math

import pytest

from kpray.document import Document, Keyphrase, Record
from kpray.metrics.datasets import case_rows, choose_case, dataset_rows, gold_rows
from kpray.metrics.protocols import PROTOCOLS

MENG = PROTOCOLS["meng"]
RECORDS = [
    Record(Document("1", "Tides follow the moon. Seas rise!"), ("tides", "moon")),
    Record(Document("2", "Heat flows."), ("entropy",)),
    Record(
        Document("3", "Supplier improvement and spillover."),
        ("spillovers", "supply chain management", "supplier improvement", "game theory"),
    ),
]


def test_sizes_of_datasets() -> None:
    assert dataset_rows({"small": RECORDS, "empty": []}) == [
        {
            "data": "small",
            "documents": 3,
            "tokens, maximum": 8,
            "tokens, mean": pytest.approx((8 + 3 + 5) / 3),
            "tokens, deviation": pytest.approx(
                math.sqrt(((8 - 16 / 3) ** 2 + (3 - 16 / 3) ** 2 + (5 - 16 / 3) ** 2) / 3)
            ),
            "tokens, median": 5,
            "sentences, maximum": 2,
            "sentences, mean": pytest.approx((2 + 1 + 1) / 3),
        },
        {
            "data": "empty",
            "documents": 0,
            "tokens, maximum": None,
            "tokens, mean": None,
            "tokens, deviation": None,
            "tokens, median": None,
            "sentences, maximum": None,
            "sentences, mean": None,
        },
    ]


def test_gold_of_datasets() -> None:
    """Absence is judged on the keyphrases as written; everything else is about the gold that is compared."""
    stemmed = Record(Document("4", "Nervous systems."), ("nervous systems", "nerves"), ("nervou system",))
    small, empty = gold_rows({"small": [*RECORDS, stemmed], "empty": []}, PROTOCOLS["samrank"])
    assert small == {
        "data": "small",
        "keyphrases, mean": 2.0,
        "keyphrases, deviation": pytest.approx(math.sqrt(1.5)),
        "keyphrases, median": 1.5,
        "one word, %": 50.0,
        "two words, %": 37.5,
        "three words, %": 12.5,
        "absent, %": pytest.approx(100 * 4 / 9),
    }
    assert {value for name, value in empty.items() if name != "data"} == {None}


def test_each_language_has_a_row() -> None:
    german = Record(Document("1", "Das Meer.", lang="de"), ("Meer", "Flut"))
    datasets = {"both": [*RECORDS, german], "de": [german]}
    assert [(row["data"], row["documents"]) for row in dataset_rows(datasets)] == [
        ("both", 4),
        ("both, de", 1),
        ("both, en", 3),
        ("de", 1),
    ]
    assert [row["absent, %"] for row in gold_rows(datasets, MENG)][1:] == [50.0, pytest.approx(100 * 3 / 7), 50.0]


def test_tokens_of_texts_without_spaces_are_characters() -> None:
    [row] = dataset_rows({"zh": [Record(Document("1", "机器学习, AI。", lang="zh"), ("AI",))]})
    assert row["tokens, maximum"] == 4 + 1 + 1 + 1


def test_the_case_has_present_and_absent_gold() -> None:
    assert choose_case(RECORDS, MENG) is RECORDS[2]
    assert choose_case(RECORDS[:2], MENG) is None


def test_case_study() -> None:
    """What matches after stemming is correct, whatever the predictor says about presence."""
    predictions = {
        "generative": [Keyphrase(text, 1.0, True) for text in ("spillover", "supply chain managements", "Spillover")],
        "long": [Keyphrase(f"topic {index}", 1.0, False) for index in range(11)],
        "silent": [],
    }
    gold, generative, long, silent = case_rows(RECORDS[2], predictions, MENG)
    assert gold == {
        "system": "gold",
        "present": "spillovers; supplier improvement",
        "absent": "supply chain management; game theory",
    }
    assert generative == {
        "system": "generative",
        "present": "spillover ✓",
        "absent": "supply chain managements ✓",
    }
    assert (long["present"], str(long["absent"]).count(";")) == ("", 9)
    assert str(long["absent"]).endswith("topic 9 …")
    assert silent == {"system": "silent", "present": "", "absent": ""}
