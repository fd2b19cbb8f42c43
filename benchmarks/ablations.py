"""What each part of UniKeyphrase is worth: Table 4 of the paper with both readings of Eq. 13-14, over several seeds.

    python benchmarks/run.py ablations --train train.jsonl --valid valid.jsonl --output DIR --seeds 0 1 2

Every training is a real one (`--local`), so one GPU does. Finished trainings are kept: the same command goes on. With
`--test FILE...`, the models of the first seed are evaluated too: Tables 1-6 and Figures 3-6 of the paper.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from scipy import stats

from benchmarks.settings import AblationSettings
from kpray.commands import evaluate
from kpray.errors import UserError
from kpray.train.config import TrainSettings
from kpray.train.job import train
from kpray.unikeyphrase.config import TaskConfig
from kpray.unikeyphrase.task import METRICS, UniKeyphraseTask

CHANGES = ("present_f1@M", "absent_f1@M", "total_f1@M", "bag_of_words_distance")  # also compared, seed by seed
# What differs from `task`, by the name of its section and field.
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "mean": {"loss": {"reduction": "mean"}},
    "mean, no BWC": {"loss": {"reduction": "mean", "bow_weight": 0.0}},
    "mean, BWC of all target tokens": {"loss": {"reduction": "mean", "bow_rows": "all"}},
    "mean, no SRL": {"loss": {"reduction": "mean"}, "model": {"relation_layers": 0}},
    "mean, no SRL, no BWC": {"loss": {"reduction": "mean", "bow_weight": 0.0}, "model": {"relation_layers": 0}},
    "sum": {"loss": {"reduction": "sum"}},
    "sum, BWC of all target tokens": {"loss": {"reduction": "sum", "bow_rows": "all"}},
    "sum, no BWC": {"loss": {"reduction": "sum", "bow_weight": 0.0}},
    "sum, no SRL": {"loss": {"reduction": "sum"}, "model": {"relation_layers": 0}},
    "mean, 1 relation layer": {"loss": {"reduction": "mean"}, "model": {"relation_layers": 1}},
    "mean, 3 relation layers": {"loss": {"reduction": "mean"}, "model": {"relation_layers": 3}},
    "mean, generation only": {
        "loss": {"reduction": "mean"},
        "model": {"target": "all", "extraction": False, "relation_layers": 0},
    },
    "mean, all phrases in the target": {"loss": {"reduction": "mean"}, "model": {"target": "all"}},
    "mean, copying": {"loss": {"reduction": "mean"}, "model": {"copying": True}},
    "mean, one-to-set": {"loss": {"reduction": "mean"}, "model": {"target": "set"}},
    "mean, BERT masking": {"loss": {"reduction": "mean", "masking": "bert"}},
}


def ablations(settings: AblationSettings) -> list[dict[str, Any]]:
    """Train and score the variants of UniKeyphrase; one row each."""
    for name in settings.variants:
        if name not in VARIANTS:
            raise UserError(f"no variant is called {name!r}", where="variants", fix=f"choose from {list(VARIANTS)}")
    start = time.monotonic()
    results = settings.output / "results.jsonl"
    settings.output.mkdir(parents=True, exist_ok=True)
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    done = [json.loads(line) for line in lines]
    for seed in settings.seeds:
        for name, changes in VARIANTS.items():
            if settings.variants and name not in settings.variants:
                continue
            late = settings.seconds is not None and time.monotonic() - start > settings.seconds
            if late or any((one["variant"], one["seed"]) == (name, seed) for one in done):
                continue
            done.append({"variant": name, "seed": seed, **_train(settings, name, changes, seed)})
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[-1]) + "\n")
    if settings.test:
        _evaluate(settings)
    return table(done)


def _evaluate(settings: AblationSettings) -> None:
    """Make the tables and figures of the paper from the kept models."""
    models = [settings.output / _folder(name, settings.seeds[0]) / "best" for name in VARIANTS]
    arguments = (
        *("--input", *settings.test, "--predictor", *(str(model) for model in models if model.exists())),
        *("--protocol", "meng", "--tables", str(settings.output / "tables.html")),
        *("--figures", str(settings.output / "figures")),
    )
    evaluate.main(arguments, "kpray evaluate")


def _folder(name: str, seed: int) -> str:
    return f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


def _train(settings: AblationSettings, name: str, changes: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Metrics of the last validation, in percent, and the seconds that the training took."""
    task = settings.task.model_dump()
    for section, values in changes.items():
        task[section] |= values
    output = settings.output / _folder(name, seed)
    job = TrainSettings(
        train=settings.train,
        valid=settings.valid,
        output=str(output),
        train_documents=settings.train_documents,
        local=True,
        optim=settings.optim.model_copy(update={"seed": seed}),
        run=settings.run.model_copy(update={"validate_every": 10**9}),
    )
    start = time.monotonic()
    train(UniKeyphraseTask(TaskConfig.model_validate(task)), job, token_sets=settings.output)
    seconds = time.monotonic() - start
    metrics: dict[str, float] = json.loads((output / "last/training.json").read_text("utf-8"))["metrics"]
    shutil.rmtree(output / "checkpoints" if settings.test and seed == settings.seeds[0] else output)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {**metrics, "seconds": seconds}


def table(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each variant: means over the seeds, and changes against the same reduction with nothing changed."""
    by_seed: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in VARIANTS}
    for one in done:
        by_seed[one["variant"]][one["seed"]] = one
    rows = []
    for name, found in by_seed.items():
        if found:
            row: dict[str, Any] = {"variant": name, "seeds": len(found)}
            row |= {metric: _mean([one[metric] for one in found.values()]) for metric in METRICS}
            whole = by_seed[name.partition(",")[0]]  # the same reduction, with nothing changed
            both = [seed for seed in found if seed in whole]
            if whole is not found and both:
                for metric in CHANGES:
                    changes = [found[seed][metric] - whole[seed][metric] for seed in both]
                    row[f"{metric}, change"] = _mean(changes, sign="+")
            rows.append(row)
    return rows


def _mean(values: list[float], sign: str = "") -> str:
    """Mean, and half of its 95% interval by Student's t."""
    mean = f"{statistics.mean(values):{sign}.2f}"
    if len(values) < 2:
        return mean
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean} ± {half:.2f}"
