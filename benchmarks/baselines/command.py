"""Keyphrases of the baselines and of SAMRank: what `python benchmarks/run.py baselines` writes and prints."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.baselines.config import NEED_BACKGROUND, BaselineConfig, check_packages
from benchmarks.baselines.predictor import Baseline
from benchmarks.settings import BaselinesBenchmark
from kpray.batch.evaluation import DataSet, read_data_sets
from kpray.corpus.limits import Reading
from kpray.corpus.writing import write_predictions
from kpray.document import Keyphrase
from kpray.errors import RejectedDocument
from kpray.log import say
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.predictor import Predictor
from kpray.printing import print_result
from kpray.registry import PredictionSettings, open_predictor
from kpray.settings import parse_settings

TOP = 50  # enough for every protocol
PROTOCOL = get_protocol("samrank")


def measure(job: BaselinesBenchmark) -> dict[str, list[dict[str, Any]]]:
    """Predict with every method, write the predictions, and score them.

    Returns:
        Title -> one row for each method, of every data set. F1 is in percent, a rate is documents per second of
        processor time of one thread.
    """
    torch.set_num_threads(1)
    data_sets = read_data_sets(job.input, Reading())
    left_out = [name for name in job.methods if name in NEED_BACKGROUND] if not job.background else []
    if left_out:
        names = ", ".join(left_out)
        say("warning", f"warning: {names} need a background corpus and are left out: give --background FILE")
    tables: dict[str, list[dict[str, Any]]] = {data.name: [] for data in data_sets}
    methods = [name for name in job.methods if name not in left_out]
    for name in methods:
        check_packages(name)  # before the first one takes its time
    for name in methods:
        predictor = _open(name, job)
        for data in data_sets:
            started = time.process_time()
            results = predictor.predict([record.document for record in data.records], top=TOP)
            rate = len(results) / (time.process_time() - started)
            say("info", f"{name} on {data.name}: {rate:.3g} documents/s")
            rejected = [each for each in results if isinstance(each, RejectedDocument)]
            if rejected:
                say("warning", f"warning: {name} rejects {len(rejected)} documents of {data.name}, first {rejected[0]}")
            folder = job.output / name / data.name
            folder.mkdir(parents=True, exist_ok=True)
            found = _write(data, results, folder / "part.parquet", predictor.describe())
            tables[data.name].append({"method": name, **_scores(data, found), "documents/s": rate})
    folders = [str(job.output / name) for name in methods]
    arguments = ["--protocol", PROTOCOL.name, "--input", *job.input, "--predictions", *folders]
    print_result(f"A page with all tables: kpray evaluate --tables tables.html {shlex.join(arguments)}")
    return tables


def _open(name: str, job: BaselinesBenchmark) -> Predictor[Any]:
    if name == "samrank":
        return open_predictor("samrank")
    if name == "samrank-paper":
        settings = parse_settings(PredictionSettings, ["--config", name], prog=name, description="")
        return open_predictor("samrank", settings.samrank.model_dump(mode="json", exclude_unset=True))
    return Baseline(
        BaselineConfig(
            method=name,  # type: ignore[arg-type]
            background=job.background,
            background_documents=job.background_documents,
            exclude=job.input,
            model=job.model,
        )
    )


def _write(
    data: DataSet, results: Sequence[list[Keyphrase] | RejectedDocument], path: Path, made_by: Mapping[str, Any]
) -> dict[tuple[str, str], list[Keyphrase]]:
    """Write and return the predictions. A rejected document has none."""
    documents = [record.document for record in data.records]
    predictions = {
        (document.lang, document.id): keyphrases
        for document, keyphrases in zip(documents, results, strict=True)
        if not isinstance(keyphrases, RejectedDocument)
    }
    write_predictions([(id_, lang, found) for (lang, id_), found in predictions.items()], path, made_by)
    return predictions


def _scores(data: DataSet, predictions: Mapping[tuple[str, str], list[Keyphrase]]) -> dict[str, float | None]:
    scores = evaluate(data.records, dict(predictions), PROTOCOL, micro=True).scores
    names = [f"{prefix}@{cutoff}" for prefix in ("f1", "micro_f1") for cutoff in PROTOCOL.cutoffs]
    return {name.replace("_", " ").replace("f1", "F1"): scores[name].mean for name in names}
