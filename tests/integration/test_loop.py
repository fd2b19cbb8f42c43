"""The training loop in one and in two processes, at every ZeRO stage, without Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kpray.training import OptimConfig
from tests.integration.processes import run_processes
from tests.train.tiny_runs import CONFIG, OPTIM, Case, difference, train_cases
from tests.train.tiny_task import NewHeadTask, TinyConfig, WholeStepsTask

DROPOUT = TinyConfig(masked=0.2, dropout=0.3)
NEW_LR = OPTIM.model_copy(update={"new_lr": 0.1})
STAGES = (0, 1, 2, 3)
pytestmark = pytest.mark.slow


def metrics(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_a_bit(path: Path) -> None:
    values = bytearray(path.read_bytes())
    values[len(values) // 2] ^= 1
    path.write_bytes(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def ends(folder: Path) -> dict[str, str]:
    """Run all trainings of this file: name of a training -> the error that it ended with; empty if it succeeded."""
    one: dict[str, Case] = {}
    two: dict[str, Case] = {}
    again: dict[str, Case] = {}
    for zero in STAGES:
        one[f"one-{zero}"] = Case(folder / f"one-{zero}", zero)
        two[f"two-{zero}"] = Case(folder / f"two-{zero}", zero)
        one[f"more-{zero}"] = Case(folder / f"more-{zero}", zero, stop_after=1)
        again[f"more-{zero} on two"] = Case(folder / f"more-{zero}", zero)
        two[f"new-{zero}"] = Case(folder / f"new-{zero}", zero, optim=NEW_LR, task=NewHeadTask)
    new = Case(folder / "new", 1, optim=NEW_LR, task=NewHeadTask)
    one["new"], again["new on two"] = replace(new, stop_after=1), new
    one["local"] = Case(folder / "local", local=True, zero=0)
    one["local killed"] = Case(folder / "local-killed", local=True, zero=0, stop_after=1)
    again_alone = {"local on": Case(folder / "local-killed", local=True, zero=0)}
    two["whole"] = Case(folder / "whole", 1, DROPOUT)
    killed = Case(folder / "killed", 1, DROPOUT)
    two |= {"killed": replace(killed, stop_after=1), "killed again": replace(killed, stop_after=1), "killed on": killed}
    two["full disk"] = Case(folder / "full", full_disk="zero_pp_rank_1", run={"validate_every": 100})
    two["full disk for a model"] = Case(folder / "full-model", full_disk="weights.pt")
    two["few documents"] = Case(folder / "few", 2, optim=OPTIM.model_copy(update={"batch": 1, "epochs": 1}))
    two["whole steps"] = Case(folder / "whole-steps", task=WholeStepsTask, run={"micro_tokens": 1})
    one["nan"] = Case(folder / "nan", config=CONFIG.model_copy(update={"nan_at": 0.5}))
    one["patience"] = Case(folder / "patience", optim=OptimConfig(lr=1e-30, batch=16, epochs=9), run={"patience": 2})
    found = dict(zip(one, run_processes(train_cases, list(one.values()), number=1)[0], strict=True))
    found |= dict(zip(again_alone, run_processes(train_cases, list(again_alone.values()), number=1)[0], strict=True))
    for cases in (two, again):
        first, second = run_processes(train_cases, list(cases.values()), number=2)
        assert first == second  # all workers end in the same way
        found |= dict(zip(cases, first, strict=True))
    return found


@pytest.mark.parametrize("zero", STAGES)
def test_two_workers_learn_what_one_learns(zero: int, folder: Path, ends: dict[str, str]) -> None:
    assert ends[f"one-{zero}"] == ends[f"two-{zero}"] == ""
    assert difference(folder / f"one-{zero}", folder / "one-0") < 1e-6
    assert difference(folder / f"two-{zero}", folder / "one-0") < 1e-6
    one, two = (metrics(folder / f"{workers}-{zero}") for workers in ("one", "two"))
    for first, second in zip(one, two, strict=True):
        assert first.get("loss") == pytest.approx(second.get("loss"), abs=1e-6)
        assert first.get("documents") == second.get("documents")
        assert first.get("score") == pytest.approx(second.get("score"), abs=1e-6)


def test_plain_pytorch_learns_what_deepspeed_learns(folder: Path, ends: dict[str, str]) -> None:
    assert (ends["local"], ends["local killed"], ends["local on"]) == ("", "killed", "")
    assert difference(folder / "local", folder / "one-0") < 1e-6
    assert difference(folder / "local", folder / "one-0", "best") < 1e-6
    assert difference(folder / "local-killed", folder / "local") == 0  # it resumed from its checkpoint
    for local, other in zip(metrics(folder / "local"), metrics(folder / "one-0"), strict=True):
        for name in ("loss", "score"):
            assert local.get(name) == pytest.approx(other.get(name), abs=1e-6)


def test_new_weights_have_another_learning_rate(folder: Path, ends: dict[str, str]) -> None:
    assert {ends[f"new-{zero}"] for zero in STAGES} | {ends["new on two"]} == {""}
    for zero in STAGES[1:]:
        assert difference(folder / f"new-{zero}", folder / "new-0") < 1e-6
    assert difference(folder / "new", folder / "new-0") < 1e-6  # started with one worker, resumed with two
    assert difference(folder / "two-0", folder / "new-0") > 1e-3
    assert next(line["lr"] for line in metrics(folder / "new-0") if "loss" in line) == 0.01


def test_validation_after_each_epoch(tmp_path: Path) -> None:
    case = Case(tmp_path, local=True, zero=0, run={"validate_every": "epoch"})
    assert run_processes(train_cases, [case], number=1) == [[""]]
    assert [line["step"] for line in metrics(tmp_path) if "validation" in line] == [7, 14]


def test_metrics_of_a_training(folder: Path, ends: dict[str, str]) -> None:
    lines = metrics(folder / "two-1")
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 15))
    assert [line["documents"] for line in steps] == 2 * [*6 * [16], 4]
    assert [(line["step"], line["seen"]) for line in lines if "seen" in line] == [(7, 100), (14, 100)]
    scores = [line["score"] for line in lines if "validation" in line]
    assert [line["step"] for line in lines if "validation" in line] == [5, 10, 14]
    assert [line["best"] for line in lines if "validation" in line] == [max(scores[: end + 1]) for end in range(3)]
    assert all(line["grad_norm"] > 0 and line["skipped"] == 0 and 0 <= line["padding"] < 0.5 for line in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[0]["lr"] == steps[1]["lr"] == 0.01  # the warm-up is round(0.1 * 14) = 1 step


def test_saved_models(folder: Path, ends: dict[str, str]) -> None:
    output = folder / "two-1"
    about = json.loads((output / "best/training.json").read_text("utf-8"))
    [best] = [line for line in metrics(output) if line.get("score") == about["score"]]
    assert about == {"step": best["step"], "score": best["score"], "metrics": best["validation"], "of": "a test"}
    assert json.loads((output / "best/decisions.json").read_text("utf-8")) == {"threshold": 0.5}
    assert names(output) == ["best", "checkpoints", "last", "metrics.jsonl", "tensorboard"]


def test_resumed_training_gives_the_same_model(folder: Path, ends: dict[str, str]) -> None:
    assert (ends["killed"], ends["killed again"], ends["killed on"]) == ("killed", "killed", "")
    assert difference(folder / "killed", folder / "whole") == 0
    assert difference(folder / "killed", folder / "whole", "best") == 0
    without_time = [{**line, "tokens_per_second": 0} for line in metrics(folder / "whole")]
    assert [{**line, "tokens_per_second": 0} for line in metrics(folder / "killed")] == without_time
    assert difference(folder / "whole", folder / "two-1") > 1e-4  # because of dropout


@pytest.mark.parametrize("zero", STAGES)
def test_another_number_of_workers(zero: int, folder: Path, ends: dict[str, str]) -> None:
    assert ends[f"more-{zero}"] == "killed"
    if zero == 3:
        refusal = "run.workers: ZeRO 3 cannot change the number of workers from 1 to 2"
        assert ends["more-3 on two"] == f"{refusal} (give --run.workers 1)"
        return
    assert ends[f"more-{zero} on two"] == ""
    assert difference(folder / f"more-{zero}", folder / "one-0") < 1e-6
    assert all(name.startswith("step-") for name in names(folder / f"more-{zero}/checkpoints/run"))


def test_more_workers_than_documents(folder: Path, ends: dict[str, str]) -> None:
    assert ends["few documents"] == ""
    lines = metrics(folder / "few")
    assert [line["documents"] for line in lines if "loss" in line] == 100 * [1]
    assert [line["seen"] for line in lines if "seen" in line] == [100]


def test_share_of_a_step_in_one_batch(folder: Path, ends: dict[str, str]) -> None:
    assert ends["whole steps"] == ""
    steps = [line for line in metrics(folder / "whole-steps") if "loss" in line]
    assert [line["documents"] for line in steps] == 2 * [*6 * [16], 4]
    assert [line["batches"] * line["documents"] for line in steps] == pytest.approx(14 * [2])  # one batch per worker
    assert difference(folder / "whole-steps", folder / "two-1") < 1e-6


def test_full_disk(folder: Path, ends: dict[str, str]) -> None:
    assert ends["full disk"].startswith(f"{folder / 'full/checkpoints/run'}: cannot write: ")
    assert names(folder / "full/checkpoints/run") == []
    assert ends["full disk for a model"].startswith(f"{folder / 'full-model/best'}: cannot write: ")
    assert names(folder / "full-model") == ["checkpoints", "metrics.jsonl", "tensorboard"]


def test_loss_that_is_nan(folder: Path, ends: dict[str, str]) -> None:
    assert ends["nan"].startswith(f"{folder / 'nan'}: the loss of step 8 is not a number (loss nan, right ")
    assert [name[:13] for name in names(folder / "nan/checkpoints/run")] == ["step-00000005"]


def test_training_stops_without_improvement(folder: Path, ends: dict[str, str]) -> None:
    # All scores are equal: the last model is kept, but none is better than the first. So the training ends two
    # validations after it, long before step 63.
    assert [line["step"] for line in metrics(folder / "patience") if "validation" in line] == [5, 10, 15]
    assert json.loads((folder / "patience/best/training.json").read_text("utf-8"))["step"] == 15
    assert json.loads((folder / "patience/last/training.json").read_text("utf-8"))["step"] == 15


def test_damaged_checkpoint_is_skipped(folder: Path, ends: dict[str, str], tmp_path: Path) -> None:
    case = Case(tmp_path / "output")
    assert run_processes(train_cases, [replace(case, stop_after=2)], number=1) == [["killed"]]
    [_, last] = sorted((tmp_path / "output/checkpoints/run").iterdir())
    flip_a_bit(last / "state/mp_rank_00_model_states.pt")
    assert run_processes(train_cases, [case], number=1) == [[""]]
    assert difference(tmp_path / "output", folder / "one-1") == 0
    [note] = [line["note"] for line in metrics(tmp_path / "output") if "note" in line]
    assert note == (
        f"{last}/state/mp_rank_00_model_states.pt: the checkpoint is damaged: the file was changed; "
        "training resumes from step 5"
    )
