"""Heads selected from one pass: scores equal those of predictors with these heads, and no other choice is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpray.document import Document, Record
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.samrank.combine import (
    HeadTable,
    all_scorings,
    choose_heads,
    f1_of_heads_together,
    load_tables,
    make_table,
    save_table,
)
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import CUTOFFS, Mode, Scoring, all_heads, score_documents
from kpray.samrank.predictor import SAMRank
from kpray.text.candidates import CandidateRule
from kpray.text.tagging import Tagger
from tests.samrank.test_heads import RECORDS
from tests.samrank.tiny_models import HEADS, LAYERS, TinyModel

RULES: tuple[CandidateRule, ...] = ("paper", "extended")
MODES: list[Mode] = [("backward", "global"), ("forward", "global")]
SCORINGS = all_scorings(RULES, ("both", "global", "proportional"), MODES)
REJECTED = Record(Document("lo", "ニューラル", lang="lo"), ("ニューラル",))


def table_of(config: SAMRankConfig, records: Any) -> HeadTable:
    predictor = SAMRank(config.model_copy(update={"heads": all_heads(config.model)}))
    return make_table(score_documents(predictor, records, RULES, MODES), SCORINGS, MODES, config.merge_stems)


def expected_f1(config: SAMRankConfig, records: Any) -> list[float | None]:
    predictor = SAMRank(config)
    predictions = {
        (record.document.lang, record.document.id): predictor.predict([record.document], top=15)[0]
        for record in records
        if record.document.lang != "lo"
    }
    report = evaluate(records, predictions, get_protocol("samrank"))
    return [report.scores[f"f1@{cutoff}"].mean for cutoff in CUTOFFS]


def test_every_scoring_occurs_once() -> None:
    assert len(SCORINGS) == 2 * (2 + 1 + 2)  # the score `global` has no direction
    assert len(set(SCORINGS)) == len(SCORINGS)


@pytest.mark.parametrize(
    "fields", [{}, {"merge_stems": False, "position_scale": None}], ids=["defaults of kpray", "as in the paper"]
)
def test_one_pass_gives_the_same_f1_as_separate_predictors(
    fields: dict[str, Any], tiny_model: Callable[[str], TinyModel], tagger: Tagger, tmp_path: Path
) -> None:
    config = SAMRankConfig.model_validate({"model": tiny_model("bert").folder, **fields})
    records = [*RECORDS, REJECTED]
    parts = [table_of(config, records[:2]), table_of(config, records[2:])]
    for index, part in enumerate(parts):
        save_table(part, tmp_path / f"{index}.npz")
    table = load_tables([tmp_path / "0.npz", tmp_path / "1.npz"])
    assert table.f1.shape == (6, len(SCORINGS), LAYERS * HEADS, len(CUTOFFS))  # one of the seven has no gold
    names = all_heads(config.model)
    for scoring, heads in product(SCORINGS, ((3,), (0, 7, 11))):
        chosen = {"heads": tuple(names[head] for head in heads), **asdict(scoring)}
        expected = expected_f1(config.model_copy(update=chosen), records)
        found = f1_of_heads_together(table, scoring, MODES, heads, config.merge_stems)
        assert (100 * found.mean(axis=0)).tolist() == pytest.approx(expected, abs=1e-9)
        if len(heads) == 1:
            alone = table.f1[:, SCORINGS.index(scoring), heads[0]]
            np.testing.assert_allclose(alone, found, rtol=0, atol=1e-12)


def test_choices_have_the_highest_f1(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    config = SAMRankConfig(model=tiny_model("bert").folder)
    tables = [table_of(config, RECORDS[:2]), table_of(config, RECORDS[3:])]

    def score(scoring: Scoring, heads: tuple[int, ...]) -> float:
        found = [f1_of_heads_together(table, scoring, MODES, heads, merge=True)[:, 0].mean() for table in tables]
        return float(np.mean(found))  # each dataset has the same weight, though one has more documents

    choices = {
        choice.how: choice for choice in choose_heads(tables, SCORINGS, MODES, max_heads=3, cutoff=5, merge=True)
    }
    assert choices.keys() == {"one head", "best alone", "greedy"}
    for choice in choices.values():
        assert choice.score == pytest.approx(score(choice.scoring, choice.heads), abs=1e-9)
    every = range(LAYERS * HEADS)
    assert choices["one head"].score == pytest.approx(max(score(s, (head,)) for s, head in product(SCORINGS, every)))
    greedy = choices["greedy"]
    singles = [score(greedy.scoring, (head,)) for head in every]
    # Dividing by the maximum keeps the order of one head's phrases, so the first step takes a best single head.
    assert score(greedy.scoring, greedy.heads[:1]) == pytest.approx(max(singles))
    if len(greedy.heads) > 1:
        pairs = {pair: score(greedy.scoring, pair) for pair in combinations(every, 2) if greedy.heads[0] in pair}
        assert score(greedy.scoring, greedy.heads[:2]) == pytest.approx(max(pairs.values()))


def test_one_head_alone(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    config = SAMRankConfig(model=tiny_model("bert").folder)
    table = table_of(config, RECORDS[:2])
    [choice] = choose_heads([table], SCORINGS, MODES, max_heads=1, cutoff=15, merge=True)
    assert choice.how == "one head"
