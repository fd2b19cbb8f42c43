"""Checkpoints are data: nothing in them runs, even if their manifests were changed to fit."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kpray.cluster.ray_compat import convert_checkpoint, loading_data_only
from kpray.train.checkpoint import _digest
from tests.integration.processes import run_processes
from tests.integration.test_ray_compat import make_engine
from tests.train.tiny_runs import Case, train_cases

MODEL, OPTIMIZER = "mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"


class Malicious:
    """Creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def tamper(checkpoint: Path, name: str, **more: Any) -> Path:
    """Add entries to a file of a checkpoint, and its new checksum to the manifest."""
    file, manifest = checkpoint / "state" / name, checkpoint / "manifest-0.json"
    torch.save({**torch.load(file, weights_only=False), **more}, file)
    contents = json.loads(manifest.read_text())
    assert f"state/{name}" in contents["files"]
    contents["files"][f"state/{name}"] = _digest(file)
    manifest.write_text(json.dumps(contents))
    return file


@pytest.mark.parametrize(
    ("case", "name", "workers"),
    [
        (Case(Path(), local=True, zero=0), "engine.pt", 1),
        (Case(Path(), 0), MODEL, 1),
        pytest.param(Case(Path(), 2), OPTIMIZER, 1, marks=pytest.mark.slow),
        pytest.param(Case(Path(), 1), OPTIMIZER, 2, marks=pytest.mark.slow),  # it would be converted for two workers
    ],
)
def test_code_in_a_checkpoint_is_refused_and_does_not_run(case: Case, name: str, workers: int, tmp_path: Path) -> None:
    case, mark = replace(case, output=tmp_path / "output"), tmp_path / "ran"
    assert run_processes(train_cases, [replace(case, stop_after=2)], number=1) == [["killed"]]
    [_, last] = sorted((tmp_path / "output/checkpoints/run").iterdir())
    file = tamper(last, name, more=Malicious(mark))
    for ends in run_processes(train_cases, [case], number=workers):
        assert ends == [
            f"{file}: has code (posix.mkdir), which kpray does not run "
            "(move the checkpoint away to resume from the one before it)"
        ]
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()  # it is code


@pytest.mark.slow
@pytest.mark.parametrize(("case", "name"), [(Case(Path(), local=True, zero=0), "engine.pt"), (Case(Path(), 1), MODEL)])
def test_checkpoint_of_other_data(case: Case, name: str, tmp_path: Path) -> None:
    case = replace(case, output=tmp_path / "output")
    assert run_processes(train_cases, [replace(case, stop_after=1)], number=1) == [["killed"]]
    [last] = (tmp_path / "output/checkpoints/run").iterdir()
    tamper(last, name, module={"other": torch.ones(1)})
    [[end]] = run_processes(train_cases, [case], number=1)
    assert end.startswith(
        f"{last}: the checkpoint does not fit this model: RuntimeError Error(s) in loading state_dict"
    )


def load_tampered(folder: Path, mark: Path, safely: bool) -> str:
    """In a worker: save a checkpoint, tamper with it, and let DeepSpeed load it."""
    engine = make_engine(1)
    engine.save_checkpoint(str(folder), tag="state", save_latest=False)
    file = folder / "state" / OPTIMIZER
    torch.save({**torch.load(file, weights_only=False), "more": Malicious(mark)}, file)
    if not safely:
        engine.load_checkpoint(str(folder), tag="state")
        return ""
    try:
        with loading_data_only():
            engine.load_checkpoint(str(folder), tag="state")
    except Exception as error:
        return type(error).__name__
    return ""


@pytest.mark.slow
def test_deepspeed_itself_loads_data_only(tmp_path: Path) -> None:
    """If DeepSpeed does not run the code without `loading_data_only`, that function can be removed."""
    mark = tmp_path / "ran"
    assert run_processes(load_tampered, tmp_path / "one", mark, True, number=1) == ["UnpicklingError"]
    assert "load" in convert_checkpoint(tmp_path / "one/state", tmp_path / "converted/state")
    assert not mark.exists()
    assert run_processes(load_tampered, tmp_path / "two", mark, False, number=1) == [""]
    assert mark.exists()
