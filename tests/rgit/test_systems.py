"""The case study of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kpray.cluster.step_cache import Step
from kpray.corpus.writing import write_predictions
from kpray.document import Document, Keyphrase, Record
from kpray.rgit.rounds import Retrieved
from kpray.rgit.systems import case_study

ENGLISH = [
    Record(Document("e0", "Steel."), ("steel", "iron")),
    Record(Document("e1", "Bears."), ("teddy bear", "grey", "jimmy")),
    Record(Document("e2", "Toys."), ("grey", "toy")),
]
DOCUMENTS = [
    Record(Document("0", "Stahl.", lang="de"), ("eisen",)),
    Record(Document("1", "Nur Stahl.", lang="de"), ("stahl",)),
    Record(Document("2", "Ein grauer Teddybär\nvon Steiff.", lang="de"), ("Teddybär", "kuscheltier")),
]


class Store(list[Record]):
    record = list.__getitem__


def steps(passages: int) -> Any:
    """The documents of a run, the first of which is no test document."""
    corpora = SimpleNamespace(english=Store(ENGLISH), documents=Store(DOCUMENTS), parts={"test": range(1, 3)})
    return SimpleNamespace(corpora=corpora, models=SimpleNamespace(generator=SimpleNamespace(passages=passages)))


def retriever(folder: Path) -> Retrieved:
    step = Step(folder, "key", {}, reused=False)
    found = np.array([[0, 0, 0], [0, 0, 0], [1, 2, -1]])
    return Retrieved(step, step, found, np.zeros_like(found, np.float32), {})


def test_case_study(tmp_path: Path) -> None:
    """Fig. 4: what is present, what is correct, and the English keyphrases that the generator read."""
    predictions = {"generator": ["steiff"], "rgit": ["teddybär", "Kuscheltier", "jimmy"]}
    for system, texts in predictions.items():
        folder = tmp_path / "predictions" / system
        folder.mkdir(parents=True)
        lines = [("2", "de", [Keyphrase(text, 1.0, present=False) for text in texts]), ("1", "de", [])]
        write_predictions(lines, folder / "part-00000.parquet", {})
    found = case_study(steps(3), {"generator": None, "rgit": retriever(tmp_path)}, tmp_path)
    assert found is not None
    assert (found["id"], found["text"]) == ("2", "Ein grauer Teddybär von Steiff.")
    assert found["rows"] == [
        {"system": "gold", "present": "Teddybär", "absent": "kuscheltier"},
        {
            "system": "generator without retrieval",
            "present": "steiff",
            "absent": "",
            "retrieved English keyphrases": None,
        },
        {
            "system": "RAMKG + RGIT",
            "present": "teddybär ✓",
            "absent": "Kuscheltier ✓; jimmy",
            "retrieved English keyphrases": "teddy bear; grey; jimmy; toy",
        },
    ]
    [*_, rgit] = case_study(steps(1), {"rgit": retriever(tmp_path)}, tmp_path)["rows"]  # type: ignore[index]
    assert rgit["retrieved English keyphrases"] == "teddy bear; grey; jimmy"


def test_no_document_has_present_and_absent_gold(tmp_path: Path) -> None:
    run = steps(1)
    run.corpora.parts = {"valid": range(2)}
    assert case_study(run, {"generator": None}, tmp_path) is None
