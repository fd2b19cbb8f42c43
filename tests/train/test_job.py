"""What a training job decides before it starts, and its log of metrics. tests/integration has tests with Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.settings import validate_settings
from kpray.train.config import TrainSettings
from kpray.train.job import balanced_sample, check_output, run_train_job, train
from kpray.train.metrics_log import MetricsLog, MetricsTail
from kpray.train.placement import Placement, placement
from kpray.training import OptimConfig, RunConfig
from tests.train.tiny_task import TinyConfig, TinyTask, make_records, write_records

EIGHT_GPUS = {"CPU": 64.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("run", "nodes", "expected"),
    [
        (RunConfig(), [{"CPU": 2.0}], Placement(1, False, 1.75)),
        (RunConfig(workers=2), [{"CPU": 2.0}], Placement(2, False, 0.875)),
        (RunConfig(workers=2, cpus=0.5), [{"CPU": 2.0}], Placement(2, False, 0.5)),
        (RunConfig(workers=3), [{"CPU": 2.0}, {"CPU": 2.0}], Placement(3, False, 0.875)),  # two of them on one node
        (RunConfig(workers=2), [{"CPU": 32.0}, {"CPU": 4.0}], Placement(2, False, 31.75 / 2)),
        (RunConfig(), [EIGHT_GPUS], Placement(8, True, 63.75 / 8)),
        (RunConfig(), [{"CPU": 4.0}, EIGHT_GPUS, EIGHT_GPUS], Placement(16, True, 63.75 / 8)),  # a head without GPUs
        (RunConfig(workers=1), [EIGHT_GPUS], Placement(1, True, 63.75)),
    ],
)
def test_placement(run: RunConfig, nodes: list[dict[str, float]], expected: Placement) -> None:
    assert placement(run, nodes) == expected


@pytest.mark.parametrize(
    ("run", "nodes", "message"),
    [
        (RunConfig(workers=9), [EIGHT_GPUS], "run.workers: 9 workers need 9 GPUs, but the cluster has 8"),
        (
            RunConfig(workers=2, cpus=1),
            [{"CPU": 2.0}],
            "run.cpus: 2 workers of 1.0 cores do not fit: the cluster has 1.75 ",
        ),
        (RunConfig(), [{"CPU": 0.0}], "run.workers: 1 workers of any number of cores do not fit"),
    ],
)
def test_workers_that_do_not_fit(run: RunConfig, nodes: list[dict[str, float]], message: str) -> None:
    with pytest.raises(UserError) as error:
        placement(run, nodes)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("cpus", "threads"), [(0.875, 1), (1.75, 2), (0.1, 1), (7.97, 8)])
def test_threads(cpus: float, threads: int) -> None:
    assert Placement(1, False, cpus).threads == threads


def test_output_of_another_training(tmp_path: Path) -> None:
    check_output(tmp_path, {"optim": {"lr": 2}})
    check_output(tmp_path, {"optim": {"lr": 1}})  # still without a checkpoint
    (tmp_path / "checkpoints/run/step-00000001-a").mkdir(parents=True)
    check_output(tmp_path, {"optim": {"lr": 1}})
    with pytest.raises(UserError) as error:
        check_output(tmp_path, {"optim": {"lr": 2}})
    assert str(error.value).startswith(f"{tmp_path}: the folder holds output made with optim = {{'lr': 1}}, not ")


def test_inputs_of_a_training_have_an_identity(tmp_path: Path) -> None:
    """The present files, an edit of the same size, a file more, another order, and a folder of another name."""
    folder, files = tmp_path / "data", ("train/a.jsonl", "train/b.jsonl", "valid.jsonl", "exclude.jsonl")
    for seed, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_records(make_records(40, seed=seed), folder / name)
    job = TrainSettings(
        train=(str(folder / "train"),),
        valid=(str(folder / "valid.jsonl"),),
        exclude=(str(folder / "exclude.jsonl"),),
        output=str(tmp_path / "output"),
        local=True,
        optim=OptimConfig(epochs=1, batch=16),
    )

    def run(**changed: Any) -> int:
        return train(TinyTask(TinyConfig()), job.model_copy(update=changed)).step

    assert run() == 5
    about = json.loads((tmp_path / "output/best/training.json").read_text("utf-8"))
    assert list(about["inputs"]) == [
        "--train a.jsonl",
        "--train b.jsonl",
        "--valid valid.jsonl",
        "--exclude exclude.jsonl",
    ]
    for name, shown in zip(files, about["inputs"], strict=True):
        before = (folder / name).read_text("utf-8")
        (folder / name).write_text(before.replace('"graph"', '"other"'), encoding="utf-8")
        with pytest.raises(UserError) as error:
            run()
        fix = "give another --output, or the input as it was"
        assert str(error.value) == f"{shown}: the input has changed since this output was started ({fix})"
        (folder / name).write_text(before, encoding="utf-8")
    with pytest.raises(UserError, match=r"output: was started with the input --train a.jsonl before --train b.jsonl"):
        run(train=(str(folder / "train/b.jsonl"), str(folder / "train/a.jsonl")))
    write_records(make_records(4, seed=9), folder / "train/c.jsonl")
    with pytest.raises(UserError, match=r"output: was started without the input --train c.jsonl"):
        run()
    (folder / "train/c.jsonl").unlink()
    moved = folder.rename(tmp_path / "moved")
    assert (
        run(train=(str(moved / "train"),), valid=(str(moved / "valid.jsonl"),), exclude=(str(moved / files[3]),)) == 5
    )


@pytest.mark.parametrize("option", ["train", "valid", "exclude"])
def test_output_inside_an_input(option: str, tmp_path: Path) -> None:
    write_records(make_records(4, seed=0), tmp_path / "a.jsonl")
    paths = {name: (str(tmp_path / "a.jsonl"),) for name in ("train", "valid", "exclude")}
    job = TrainSettings(**{**paths, option: (str(tmp_path),)}, output=str(tmp_path / "output"), local=True)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the input and the output must not contain each other"):
        run_train_job(job, lambda folder: TinyTask(TinyConfig()))


def test_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        check_output(tmp_path / "file", {})


def test_metrics_log_resumes_after_a_step(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, "none", {})
    for step in (5, 10, 15):
        log.write(step, {"loss": 1 / step, "norm": None, "validation": {"f1": 0.5}})
    log.close()
    path = tmp_path / "metrics.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 16, "lo')  # killed during a write
    log = MetricsLog(tmp_path, 10, "none", {})
    log.write(15, {"loss": 0.25})
    log.close()
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(5, 1 / 5), (10, 1 / 10), (15, 0.25)]
    assert lines[0]["norm"] is None
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_tracker_that_is_not_installed() -> None:
    assert validate_settings(RunConfig, {"tracker": "none"}, where="run").tracker == "none"
    with pytest.raises(UserError, match=r"tracker is 'wandb' \(the package is not installed: pip install wandb, or"):
        validate_settings(RunConfig, {"tracker": "wandb"}, where="run")


def test_tail_reads_added_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(tmp_path)
    assert tail.lines() == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"st', encoding="utf-8")
    assert tail.lines() == [{"step": 1}, {"step": 2}]
    assert tail.lines() == []
    with path.open("a", encoding="utf-8") as file:
        file.write('ep": 3}\n')
    assert tail.lines() == [{"step": 3}]
    path.write_text('{"step": 1}\n', encoding="utf-8")  # restarted workers
    assert tail.lines() == []
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4}\n')
    assert tail.lines() == [{"step": 4}]
    # Restarted again; the offset is now in the middle of a line.
    path.write_text('{"step": 1}\n{"step": 2, "loss": 0.5}\n{"step": 3}\n', encoding="utf-8")
    assert tail.lines() == [{"step": 3}]
    assert MetricsTail(tmp_path).lines() == []


def test_validation_documents_are_balanced_over_languages() -> None:
    langs = [*["de"] * 60, *["fr"] * 6, *["zh_CN"] * 30, *["zh"] * 4]
    records = [Record(Document(str(row), "x", lang=lang), ("y",)) for row, lang in enumerate(langs)]
    chosen = balanced_sample(records, 40)
    rows = [int(record.document.id) for record in chosen]
    assert rows == sorted(set(rows))
    assert [record.document.lang for record in chosen] == [*["de"] * 17, *["fr"] * 6, *["zh_CN"] * 15, *["zh"] * 2]
    assert rows[:3] == [0, 3, 7]  # evenly spaced
    assert len(balanced_sample(records, 2)) == 2
    assert balanced_sample(records, 100) == records
    assert [record.document.id for record in balanced_sample(records[:60], 3)] == ["0", "20", "40"]


def test_steps_between_validations() -> None:
    assert RunConfig(validate_every=7).validation_steps(3) == 7
    assert validate_settings(RunConfig, {"validate_every": "epoch"}, where="run").validation_steps(3) == 3
    with pytest.raises(UserError, match="validate_every is 0"):
        validate_settings(RunConfig, {"validate_every": 0}, where="run")


def test_length_of_the_warm_up() -> None:
    assert validate_settings(OptimConfig, {"warmup": 50}, where="optim").warmup == 50
    with pytest.raises(UserError, match=r"warmup is 1.5 \(a number of steps must be whole\)"):
        validate_settings(OptimConfig, {"warmup": 1.5}, where="optim")
