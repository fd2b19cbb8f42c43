"""The F1 of all heads from one pass equals the F1 of separate predictors, one for each head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import CUTOFFS, all_heads, draw_f1_of_heads, f1_of_heads, head_rows
from kpray.samrank.predictor import SAMRank
from kpray.text.tagging import Tagger
from tests.samrank.tiny_models import HEADS, LAYERS, SENTENCES, TinyModel

RECORDS = (
    Record(
        Document("1", " ".join(SENTENCES)),
        ("neural networks", "attention maps", "graph theory", "absent phrase", "matrices", "noun phrases"),
    ),
    Record(Document("2", " ".join(SENTENCES[:2]), title="Networks"), ("sparse matrices", "fast algorithm", "networks")),
    Record(Document("no gold", SENTENCES[3])),
    Record(Document("no candidate", "It is so."), ("graphs",)),
    Record(Document("3", SENTENCES[2]), ("x",), stemmed=("noun phrase", "algorithm", "algorithm")),
    Record(
        Document("4", "Les graphes épars. Un graphe épars. Réseaux de neurones, matrices.", lang="fr"),
        ("graphes épars", "réseaux"),
    ),
)


def test_names_of_heads(tiny_model: Callable[[str], TinyModel]) -> None:
    names = all_heads(tiny_model("gpt2").folder)
    assert len(names) == LAYERS * HEADS
    assert (names[0], names[HEADS - 1], names[HEADS], names[-1]) == ("1-1", f"1-{HEADS}", "2-1", f"{LAYERS}-{HEADS}")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bert", {}),
        ("llama", {"merge_stems": False, "position_scale": None, "candidates": "paper", "weighting": "unit"}),
        ("gpt2", {"score": "proportional", "redistribution": "forward", "heads": ("99-99",)}),
    ],
)
def test_f1_of_heads_equals_that_of_evaluate(
    kind: str, fields: dict[str, Any], tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    config = SAMRankConfig.model_validate({"model": tiny_model(kind).folder, **fields})
    # With a text of more candidates, so that the heads differ under every rule.
    nouns = "graphs kernels matrices networks vertices cliques spectra trees paths forests cycles bridges flows".split()
    text = f"{', '.join(nouns)} and edges. Sparse graphs, fast trees, long paths and short cycles."
    records = (*RECORDS, Record(Document("5", text), ("kernels", "vertices", "fast trees", "flows", "bridges")))
    found = f1_of_heads(config, iter(records))
    assert found.shape == (LAYERS, HEADS, len(CUTOFFS))
    assert len(np.unique(found)) > 3  # the heads differ
    for layer, head in ((0, 0), (1, 3), (2, 1), (2, 3)):
        predictor = SAMRank(config.model_copy(update={"heads": (f"{layer + 1}-{head + 1}",)}))
        documents = [record.document for record in records]
        predictions = {
            (document.lang, document.id): keyphrases
            for document, keyphrases in zip(documents, predictor.predict(documents, top=15), strict=True)
        }
        report = evaluate(records, predictions, get_protocol("samrank"))
        expected = [report.scores[f"f1@{cutoff}"].mean for cutoff in CUTOFFS]
        assert found[layer, head].tolist() == pytest.approx(expected, rel=0, abs=1e-9)


def test_rejected_document_counts_as_an_empty_prediction(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    config = SAMRankConfig(model=tiny_model("bert").folder)
    rejected = Record(Document("lo", "ニューラル", lang="lo"), ("ニューラル",))
    found = f1_of_heads(config, [RECORDS[0], rejected])
    np.testing.assert_allclose(found, f1_of_heads(config, [RECORDS[0]]) / 2)
    assert found.any()


def test_records_without_gold_are_an_error(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    with pytest.raises(UserError, match="no record has gold keyphrases"):
        f1_of_heads(SAMRankConfig(model=tiny_model("bert").folder), [RECORDS[2]])


def test_rows_are_sorted_by_f1_at_15() -> None:
    scores = np.arange(2 * 2 * 3, dtype=float).reshape(2, 2, 3)
    scores[0, 1, 2] = 100
    assert head_rows(scores) == [
        {"head": "1-2", "F1@5": 3.0, "F1@10": 4.0, "F1@15": 100.0},
        {"head": "2-2", "F1@5": 9.0, "F1@10": 10.0, "F1@15": 11.0},
        {"head": "2-1", "F1@5": 6.0, "F1@10": 7.0, "F1@15": 8.0},
        {"head": "1-1", "F1@5": 0.0, "F1@10": 1.0, "F1@15": 2.0},
    ]


def test_every_dataset_has_rows_and_a_panel(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger, tmp_path: Path
) -> None:
    config = SAMRankConfig(model=tiny_model("bert").folder)
    data = {"one": RECORDS[:2], "other": RECORDS[4:5]}
    rows = draw_f1_of_heads(config, data, tmp_path / "heads.png")
    assert rows == {name: head_rows(f1_of_heads(config, records)) for name, records in data.items()}
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")
