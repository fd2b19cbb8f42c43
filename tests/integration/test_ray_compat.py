"""Contract tests of the undocumented parts of Ray Serve and DeepSpeed that need other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kpray.cluster.ray_compat import PROXY_VARIABLE, convert_checkpoint, recording_saves, skipped_steps, zero_stage
from kpray.serve.proxy_middleware import PROXY_MIDDLEWARES
from kpray.train.deepspeed import deepspeed_config, parameter_groups, start_engine
from kpray.train.loop import Losses
from kpray.training import OptimConfig
from tests.integration.processes import run_processes
from tests.train.tiny_task import TinyConfig, TinyTask


def test_serve_uses_the_middlewares_of_kpray() -> None:
    program = """
import json
from ray.serve._private import constants, http_util
from ray.serve.config import HTTPOptions
made = http_util.configure_http_middlewares(HTTPOptions()).middlewares
print(json.dumps([[middleware.cls.__name__ for middleware in made], constants.PROXY_READY_CHECK_TIMEOUT_S]))
"""
    variables = {PROXY_VARIABLE: PROXY_MIDDLEWARES, "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "180"}
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout.splitlines()[-1]) == [["Repeats", "Refusals", "PlainHeaders", "Bounds"], 180]


def make_engine(zero: int, *, universal: bool = False) -> Any:
    task, optim = TinyTask(TinyConfig()), OptimConfig()
    torch.manual_seed(0)
    model = task.build()
    groups = parameter_groups(model, optim)
    return start_engine(Losses(task, model), groups, deepspeed_config(optim, zero, "fp32", universal=universal))


def save_with_errors(folder: Path) -> dict[str, Any]:
    """In a worker: save a checkpoint, then one that cannot be written, then one that raises another error."""
    engine = make_engine(1)
    found: dict[str, Any] = {"skipped": skipped_steps(engine), "zero": zero_stage(engine), "device": engine.device.type}
    save = engine.checkpoint_engine.save
    with recording_saves(engine, lambda error: isinstance(error, OSError)) as (files, errors):
        engine.save_checkpoint(str(folder), tag="state", save_latest=False)
    found |= {"files": files, "errors": errors, "restored": engine.checkpoint_engine.save == save}
    for error in (OSError("full"), KeyError("other")):

        def failing(state_dict: Any, path: str, error: Exception = error) -> None:
            raise error

        engine.checkpoint_engine.save = failing
        try:
            with recording_saves(engine, lambda error: isinstance(error, OSError)) as (_, errors):
                engine.save_checkpoint(str(folder.with_name("unsaved")), tag="state", save_latest=False)
            found[type(error).__name__] = [str(each) for each in errors]
        except KeyError:
            found[type(error).__name__] = "raised"
    return found


def load_converted(folder: Path) -> list[float]:
    """In one worker: load a checkpoint of two. Returns the largest difference of each parameter."""
    engine = make_engine(1, universal=True)
    before = [parameter.detach().clone() for parameter in engine.module.parameters()]
    with torch.no_grad():
        for parameter in engine.module.parameters():
            parameter.zero_()
    engine.load_checkpoint(str(folder), tag="state")
    pairs = zip(before, engine.module.parameters(), strict=True)
    return [float((one - other).abs().max()) for one, other in pairs]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A checkpoint of two workers, and what they recorded."""
    folder = tmp_path_factory.mktemp("checkpoint")
    return folder, run_processes(save_with_errors, folder, number=2)


def test_files_of_a_checkpoint_are_recorded(saved: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = saved
    recorded = [file for worker in found for file in worker["files"]]
    written = [str(file) for file in (folder / "state").iterdir()]
    assert len(recorded) == len(set(recorded)) == 3  # the model, and each worker's share of the optimizer
    assert sorted(recorded) == sorted(file for file in written)
    for worker in found:
        assert worker["errors"] == []
        assert worker["restored"]


def test_errors_of_a_checkpoint_are_recorded_without_a_deadlock(saved: tuple[Path, list[dict[str, Any]]]) -> None:
    for worker in saved[1]:
        assert worker["OSError"] == ["full"] * len(worker["files"])
        assert worker["KeyError"] == "raised"


def test_attributes_of_an_engine(saved: tuple[Path, list[dict[str, Any]]]) -> None:
    for worker in saved[1]:
        assert (worker["skipped"], worker["zero"], worker["device"]) == (0, 1, "cpu")


def test_checkpoint_for_another_number_of_workers(saved: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    folder, _ = saved
    assert convert_checkpoint(folder / "state", tmp_path / "converted/state") == ""
    [differences] = run_processes(load_converted, tmp_path / "converted", number=1)
    assert differences == [0.0] * len(differences)
    assert "Error" in convert_checkpoint(tmp_path / "none", tmp_path / "nothing")
