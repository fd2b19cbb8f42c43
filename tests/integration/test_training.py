"""Training on a real local Ray gives the same model with one or two workers, and after any interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands import ROOT, Finished, RunHere
from tests.integration.conftest import StartJob
from tests.integration.jobs import Job
from tests.train.tiny_runs import difference
from tests.train.tiny_task import make_records, write_records

SCRIPT = Path(__file__).with_name("train_tiny.py")
STEPS = 2 * 200 // 8


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Script and options of the job, except --output and the number of workers."""
    folder = tmp_path_factory.mktemp("records")
    write_records(make_records(200, seed=1), folder / "train.jsonl")
    write_records(make_records(30, seed=2), folder / "valid.jsonl")
    files: list[str | Path] = ["--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl"]
    optim = ["--optim.epochs", "2", "--optim.batch", "8", "--optim.lr", "0.01"]
    run = ["--run.micro-tokens", "100", "--run.validate-every", "10", "--run.log-every", "5", "--task.masked", "0.2"]
    return [SCRIPT, *files, *optim, *run]


@pytest.fixture(scope="module")
def two_workers(
    start_shared: StartJob, options: list[str | Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Finished]:
    """Output and result of an uninterrupted job with two workers."""
    output = tmp_path_factory.mktemp("two") / "output"
    return output, start_shared(*options, "--output", output, "--run.workers", "2").finish()


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]


def losses(output: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in lines(output) if "loss" in line}


def checkpoints(output: Path) -> list[Path]:
    return sorted((output / "checkpoints/run").glob("step-*"))


@pytest.mark.slow
def test_training_of_two_workers(
    two_workers: tuple[Path, Finished], start_shared: StartJob, options: list[str | Path]
) -> None:
    output, finished = two_workers
    assert finished.code == 0, finished.err
    about = json.loads((output / "best/training.json").read_text("utf-8"))
    best = f"step {about['step']:,}, score {about['score']:.4g}"
    assert finished.out == f"{STEPS} steps; best model at {best}: {output / 'best'}\n"
    assert f"step {STEPS}: validation score" in finished.err
    assert "Traceback" not in finished.err
    assert list(losses(output)) == list(range(5, STEPS + 1, 5))
    assert [line["seen"] for line in lines(output) if "seen" in line] == [200, 200]
    assert [path.name[:13] for path in checkpoints(output)] == [f"step-{STEPS - 10:08d}", f"step-{STEPS:08d}"]
    assert list((output / "tensorboard").glob("events.*"))

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.pt")}
    again = start_shared(*options, "--output", output, "--run.workers", "2").finish()  # the training is complete
    assert (again.code, again.out) == (0, finished.out)
    assert before.items() >= {path: path.stat().st_mtime_ns for path in output.rglob("*.pt")}.items()


@pytest.mark.slow
def test_one_worker_learns_the_same_until_its_loss_is_nan(
    two_workers: tuple[Path, Finished], start_shared: StartJob, options: list[str | Path], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    finished = start_shared(*options, "--output", output, "--run.workers", "1", "--task.nan-at", "0.9").finish()
    assert (finished.code, finished.out) == (2, ""), finished.err
    one, two = losses(output), losses(two_workers[0])
    assert list(one) == list(range(5, STEPS - 4, 5))  # the failed step was not tried again
    assert one == pytest.approx({step: two[step] for step in one}, abs=1e-4)
    assert [path.name[:13] for path in checkpoints(output)] == ["step-00000030", "step-00000040"]
    first, second = weights_at(output, 40), weights_at(two_workers[0], 40)
    for name, values in first.items():
        torch.testing.assert_close(values, second[name], atol=1e-4, rtol=0)

    assert "Traceback" not in finished.err
    *_, error = finished.err.splitlines()
    assert error.startswith(f"kpray: error: {output}: the loss of step 46 is not a number (loss nan, right ")
    assert "lower --optim.lr" in error


def weights_at(output: Path, step: int) -> dict[str, torch.Tensor]:
    [folder] = [folder for folder in checkpoints(output) if folder.name.startswith(f"step-{step:08d}")]
    state = torch.load(folder / "state/mp_rank_00_model_states.pt", weights_only=False)
    weights: dict[str, torch.Tensor] = state["module"]
    return weights


@pytest.mark.slow
def test_model_is_the_same_after_any_interruption(
    two_workers: tuple[Path, Finished], start_job: StartJob, options: list[str | Path], tmp_path: Path
) -> None:
    output = tmp_path / "output"
    slow = ["--task.seconds", "0.05"]

    def start(*more: str) -> Job:
        command = [*options, "--output", output, "--run.workers", "2", *more]
        return start_job(*command, variables={"PYTHONPATH": str(ROOT)})

    job = start(*slow)  # a worker dies, and the job itself recovers
    job.wait_until(lambda: len(losses_so_far(output)) > 3)
    [first] = checkpoints(output)
    job.workers("RayTrainWorker")[-1].kill()
    job.wait_until(lambda: len(checkpoints(output)) > 1)
    job.process.kill()  # first the driver, then its other processes
    job.kill()
    assert first in checkpoints(output)

    newest = checkpoints(output)[-1]
    damaged = next((newest / "state").glob("*model_states.pt"))
    with damaged.open("rb+") as file:
        file.seek(damaged.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    finished = start().finish()
    assert finished.code == 0, finished.err
    [note] = [line for line in finished.err.splitlines() if "damaged" in line]
    assert note.startswith(f"kpray: {damaged}: the checkpoint is damaged")
    assert note.endswith("training resumes from step 10")
    assert losses(output) == losses(two_workers[0])
    assert difference(output, two_workers[0]) == 0
    assert difference(output, two_workers[0], "best") == 0
    assert (newest.parent / f"damaged-{newest.name}").exists()


def losses_so_far(output: Path) -> dict[int, float]:
    return losses(output) if (output / "metrics.jsonl").exists() else {}


def test_dry_run_and_mistakes_start_nothing(run_here: RunHere, tmp_path: Path) -> None:
    train, valid, output = tmp_path / "train.jsonl", tmp_path / "valid.jsonl", tmp_path / "output"
    write_records(make_records(20, seed=1), train)
    valid.write_text('{"id": "no text"}\n', encoding="utf-8")
    options = [SCRIPT, "--train", train, "--valid", valid, "--output", output]

    plan = run_here(*options, "--dry-run")
    assert plan.code == 0, plan.err
    assert "to train on 1 jsonl files, 20 records" in plan.out
    assert "to validate on 1 jsonl files, 1 records" in plan.out
    assert "micro_tokens: 8192" in plan.out
    assert not output.exists()

    nothing = run_here(*options)
    assert nothing.code == 2
    assert f"kpray: error: {valid}: no validation document can be read" in nothing.err
    untracked = run_here(*options, "--run.tracker", "mlflow")
    assert untracked.code == 2
    wrong = "--run.tracker is 'mlflow' (the package is not installed: pip install mlflow, or choose none)"
    assert wrong in untracked.err


@pytest.mark.slow
def test_output_of_another_training_is_refused(two_workers: tuple[Path, Finished], run_here: RunHere) -> None:
    output, _ = two_workers
    config = (output / "_config.yaml").read_bytes()
    refused = run_here(SCRIPT, "--config", output / "_config.yaml", "--optim.lr", "0.5")
    assert refused.code == 2
    [line] = refused.err.splitlines()
    assert line.startswith(f"kpray: error: {output}: the folder holds output made with optim = ")
    assert (output / "_config.yaml").read_bytes() == config
