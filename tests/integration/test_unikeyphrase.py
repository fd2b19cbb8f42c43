"""A trained UniKeyphrase in the jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, RunHere
from tests.integration.conftest import StartJob
from tests.unikeyphrase.tiny_model import learn_by_heart, save_backbone, write_records


@pytest.mark.slow
def test_jobs(start_shared: StartJob, run_here: RunHere, tmp_path: Path) -> None:
    (tmp_path / "backbone").mkdir()
    task, model = learn_by_heart(save_backbone(tmp_path / "backbone"))
    folder, output = tmp_path / "model", tmp_path / "keyphrases"
    folder.mkdir()
    task.save(model, folder, {"outside_bias": 0.25})
    write_records(tmp_path / "documents.jsonl")
    given = ("--input", tmp_path / "documents.jsonl")

    extract = (*given, "--predictor", folder, "--output", output, "--unikeyphrase.batch-tokens", "100")
    finished = start_shared(ROOT / "jobs/extract.py", *extract).finish()
    assert finished.code == 0, finished.err
    scored = run_here(
        "evaluate.py", *given, "--predictions", output, "--protocol", "meng", "--output", tmp_path / "report.json"
    )
    assert scored.code == 0, scored.err
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["scores"]["present_f1@M"]["mean"] == report["scores"]["absent_f1@M"]["mean"] == 100
    assert report["made_by"]["predictor"] == "unikeyphrase"
    assert report["made_by"]["config"]["batch_tokens"] == 100

    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    refused = run_here("extract.py", *extract)
    assert refused.code == 2
    assert "the folder holds output made with config = " in refused.err
