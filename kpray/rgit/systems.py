"""The systems that a run compares: their final models, their predictions, and the saved predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpray.cluster.job import writing
from kpray.cluster.step_cache import Step
from kpray.corpus.writing import read_predictions, write_predictions
from kpray.document import Record
from kpray.metrics.datasets import CASE, case_rows, choose_case
from kpray.metrics.evaluate import evaluate
from kpray.ramkg.config import ENGLISH, GENERATOR, INDEX, RETRIEVER, GenerateConfig, RAMKGConfig
from kpray.ramkg.predictor import make_keyphrases, save_parts
from kpray.ramkg.rgit import NO_PAIRS, Round, final_pairs
from kpray.rgit.config import System
from kpray.rgit.corpora import Corpora
from kpray.rgit.rounds import PROTOCOL, Retrieved, RoundSteps
from kpray.text.stems import stemmed_words

PREDICTIONS = "predictions"  # subfolder of the output folder
RETRIEVED = "retrieved English keyphrases"  # column of a case study
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
    rows, records = _reported(steps.corpora)
    documents = [record.document for record in records]
    predicted = [
        make_keyphrases(stemmed_words(document.text, document.lang), document.lang, phrases)
        for document, phrases in zip(documents, steps.predict(generator, rows, retriever), strict=True)
    ]
    keys = [(record.document.lang, record.document.id) for record in records]
    folder = output / PREDICTIONS / system
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


def case_study(steps: RoundSteps, retrievers: Mapping[System, Retrieved | None], output: Path) -> dict[str, Any] | None:
    """A test document with the keyphrases of each system and the English keyphrases that it retrieved (Fig. 4).

    Args:
        steps: the documents, and how many English passages a generator reads.
        retrievers: system -> its final retriever. `evaluate_system` has written the predictions of each.
        output: the output folder of the run.

    Returns:
        The id of the document, how it was chosen, its text, and a table row for the gold and for each system; None if
        no document has present and absent gold keyphrases.
    """
    rows, records = _reported(steps.corpora)
    record = choose_case(records, PROTOCOL)
    if record is None:
        return None
    document = record.document
    predictions = {
        _NAMES[system]: read_predictions(output / PREDICTIONS / system)[document.lang, document.id]
        for system in retrievers
    }
    gold, *of_systems = case_rows(record, predictions, PROTOCOL)
    row = rows[records.index(record)]
    for cells, retriever in zip(of_systems, retrievers.values(), strict=True):
        found = retriever.found[row, : steps.models.generator.passages].tolist() if retriever else []
        phrases = [phrase for each in found if each >= 0 for phrase in steps.corpora.english.record(each).keyphrases]
        cells[RETRIEVED] = "; ".join(dict.fromkeys(phrases)) or None
    text = " ".join(document.text.split())
    return {"id": document.id, "about": CASE, "text": text, "rows": [gold, *of_systems]}


def _reported(corpora: Corpora) -> tuple[np.ndarray, list[Record]]:
    """Documents to report on, and their rows in `Corpora.documents`: those of `test`, or else of `valid`."""
    rows = corpora.parts["test" if "test" in corpora.parts else "valid"]
    return np.array(rows, dtype=np.int64), [corpora.documents.record(row) for row in rows]


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
