"""The systems that a run compares: the final models of each, what they predict, and the predictor that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpray.cluster.job import writing
from kpray.cluster.step_cache import Step
from kpray.corpus.writing import write_predictions
from kpray.metrics.evaluate import evaluate
from kpray.ramkg.config import ENGLISH, GENERATOR, INDEX, RETRIEVER, GenerateConfig, RAMKGConfig
from kpray.ramkg.predictor import make_keyphrases, save_parts
from kpray.ramkg.rgit import NO_PAIRS, Round, final_pairs
from kpray.rgit.config import System
from kpray.rgit.rounds import PROTOCOL, Retrieved, RoundSteps
from kpray.text.stems import stemmed_words

_NAMES = {"generator": "generator without retrieval", "ramkg": "RAMKG", "rgit": "RAMKG + RGIT"}


def final_retriever(
    system: System, steps: RoundSteps, schedule: str, rounds: Sequence[Round[Retrieved]]
) -> Retrieved | None:
    """None; R_0; or one that learnt from the pseudo pairs and then from the parallel ones (end of Sec. 4.3)."""
    if system == "generator":
        return None
    if system == "ramkg":
        return steps.train_retriever(NO_PAIRS, schedule)
    return steps.train_retriever(final_pairs(rounds), "sequential")


def evaluate_system(
    system: System, steps: RoundSteps, generator: Step, retriever: Retrieved | None, output: Path
) -> dict[str, Any]:
    """Predict the test documents, write the predictions below an output folder, and score them."""
    corpora = steps.corpora
    rows = np.array(corpora.parts["test" if "test" in corpora.parts else "valid"], dtype=np.int64)
    records = [corpora.documents.record(row) for row in rows.tolist()]
    documents = [record.document for record in records]
    predicted = [
        make_keyphrases(stemmed_words(document.text, document.lang), document.lang, phrases)
        for document, phrases in zip(documents, steps.predict(generator, rows, retriever), strict=True)
    ]
    keys = [(record.document.lang, record.document.id) for record in records]
    folder = output / "predictions" / system
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lines = ((id, lang, own) for (lang, id), own in zip(keys, predicted, strict=True))
        write_predictions(lines, folder / "part-00000.parquet", {"predictor": _NAMES[system], "step": generator.key})
    report = evaluate(records, dict(zip(keys, predicted, strict=True)), PROTOCOL)
    scores = {"average": report.scores, **report.languages}
    return {
        "name": _NAMES[system],
        "scores": {
            name: {metric: [score.mean, score.low, score.high] for metric, score in own.items()}
            for name, own in scores.items()
        },
    }


def save_predictor(
    folder: Path,
    generator: Step,
    retriever: Retrieved | None,
    english: Path,
    search: GenerateConfig,
    training: Mapping[str, Any],
) -> None:
    """Write a folder that `open_predictor` opens.

    Args:
        folder: where to.
        generator: from `RoundSteps.train_generator`.
        retriever: what it was trained with.
        english: folder of the `PassageStore` of English documents.
        search: how it generates.
        training: what it was made with, JSON values.
    """
    parts = {GENERATOR: generator.folder / "best"}
    if retriever:
        parts |= {RETRIEVER: retriever.step.folder / "best", INDEX: retriever.index.folder, ENGLISH: english}
    with writing(folder):
        folder.mkdir(exist_ok=True)
        save_parts(folder, parts, RAMKGConfig(model="", generate=search), training)
