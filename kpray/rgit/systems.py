"""The systems that a run compares: their final models, their predictions, and the saved predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kpray.cluster.job import writing
from kpray.cluster.step_cache import Step
from kpray.corpus.writing import write_predictions
from kpray.metrics.evaluate import evaluate
from kpray.ramkg.config import ENGLISH, GENERATOR, INDEX, RETRIEVER, GenerateConfig, RAMKGConfig
from kpray.ramkg.predictor import make_keyphrases, save_parts
from kpray.ramkg.rgit import NO_PAIRS, Round, final_pairs
from kpray.rgit.rounds import PROTOCOL, Retrieved, RoundSteps
from kpray.text.stems import stemmed_words

System = Literal["generator", "ramkg", "rgit"]
_NAMES = {"generator": "generator without retrieval", "ramkg": "RAMKG", "rgit": "RAMKG + RGIT"}


def final_retriever(
    system: System, steps: RoundSteps, schedule: str, rounds: Sequence[Round[Retrieved]]
) -> Retrieved | None:
    """Train the final retriever of a system.

    Returns:
        `generator`: None. `ramkg`: R_0, trained on the parallel pairs. `rgit`: a retriever trained on the pseudo pairs
        and then on the parallel pairs (end of Sec. 4.3).
    """
    if system == "generator":
        return None
    if system == "ramkg":
        return steps.train_retriever(NO_PAIRS, schedule)
    return steps.train_retriever(final_pairs(rounds), "sequential")


def evaluate_system(
    system: System, steps: RoundSteps, generator: Step, retriever: Retrieved | None, output: Path
) -> dict[str, Any]:
    """Predict the test documents (or validation documents), write the predictions, and score them.

    Returns:
        The name of the system, and its scores by language and metric: mean, lower and upper bound.
    """
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
        lines = ((id, lang, keyphrases) for (lang, id), keyphrases in zip(keys, predicted, strict=True))
        write_predictions(lines, folder / "part-00000.parquet", {"predictor": _NAMES[system], "step": generator.key})
    report = evaluate(records, dict(zip(keys, predicted, strict=True)), PROTOCOL)
    scores = {"average": report.scores, **report.languages}
    return {
        "name": _NAMES[system],
        "scores": {
            name: {metric: [score.mean, score.low, score.high] for metric, score in by_metric.items()}
            for name, by_metric in scores.items()
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
    """Write a folder that `open_predictor` can open.

    Args:
        folder: the folder to write.
        generator: from `RoundSteps.train_generator`.
        retriever: the retriever that the generator was trained with.
        english: folder of the `PassageStore` of English documents.
        search: settings of the beam search.
        training: settings of the training, JSON values.
    """
    parts = {GENERATOR: generator.folder / "best"}
    if retriever:
        parts |= {RETRIEVER: retriever.step.folder / "best", INDEX: retriever.index.folder, ENGLISH: english}
    with writing(folder):
        folder.mkdir(exist_ok=True)
        save_parts(folder, parts, RAMKGConfig(model="", generate=search), training)
