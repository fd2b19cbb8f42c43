"""Pretraining of a backbone without a language-model head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kpray.registry import open_predictor
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from kpray.unikeyphrase.pretrain import PretrainConfig, PretrainTask
from tests.commands import RunHere
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS, TARGET_TOKENS, write_records

LIMITS: dict[str, Any] = {"source_tokens": SOURCE_TOKENS, "target_tokens": TARGET_TOKENS}


@pytest.fixture
def task(backbone: str) -> PretrainTask:
    return PretrainTask(ModelConfig(backbone=backbone, dropout=0, attention_dropout=0, **LIMITS), PretrainConfig())


def test_rows_are_body_and_title_and_never_gold(task: PretrainTask) -> None:
    rows: list[Any] = task.tokenize(RECORDS)
    encoder = task.encoder
    for record, row in zip(RECORDS, rows, strict=True):
        assert row["source"].tolist() == encoder.encode_source(record.document.body, SOURCE_TOKENS).ids.tolist()
    assert encoder.decode_target(rows[1]["target"]) == ["noun phrases"]
    assert rows[2]["target"].tolist() == [encoder.sep_id]  # it has no title


def test_masks(task: PretrainTask) -> None:
    rows: list[Any] = task.tokenize(RECORDS)
    encoder = task.encoder
    masked = tokens = kept = 0
    for seed in range(200):
        batch = task.collate(rows, [seed * 4 + index for index in range(4)])
        flat = batch["input_ids"].flatten()
        width = batch["input_ids"].shape[1]
        original = np.concatenate(
            [np.pad(np.concatenate([row["source"], row["target"]]), (0, width - row["length"])) for row in rows]
        )
        body, title = batch["body_rows"], batch["title_rows"]
        assert (original[body] == batch["body_ids"].numpy()).all()
        assert (original[title] == batch["title_ids"].numpy()).all()
        assert (flat[title] == encoder.mask_id).all()
        assert not set(batch["body_ids"].tolist()) & {encoder.cls_id, encoder.sep_id, encoder.pad_id}
        others = np.setdiff1d(np.arange(len(flat)), torch.cat([body, title]).numpy())
        assert (original[others] == flat[others].numpy()).all()
        masked += len(body)
        tokens += sum(len(row["source"]) - 2 for row in rows)
        kept += int((flat[body] == batch["body_ids"]).sum())
    assert masked / tokens == pytest.approx(0.15, abs=0.01)
    assert kept / masked == pytest.approx(0.1, abs=0.03)
    again = task.collate(rows, [796 + index for index in range(4)])
    assert all((again[name] == batch[name]).all() for name in batch)  # a row's masks come from its seed alone


def test_loss_is_the_mean_of_each_document(task: PretrainTask) -> None:
    torch.manual_seed(0)
    model = task.build().eval()
    rows: list[Any] = task.tokenize(RECORDS)
    batch = task.collate(rows, [11, 12, 13, 14])
    found = task.losses(model, batch, 0.0)
    width = batch["input_ids"].shape[1]
    expected = {"body": 0.0, "title": 0.0}
    for name in expected:
        logits = model(batch["input_ids"], batch["source_lengths"], batch["lengths"], batch[f"{name}_rows"])
        chances = logits.token_logits.detach().log_softmax(-1)
        for document in range(4):
            own = (batch[f"{name}_rows"] // width == document).nonzero().flatten()
            if len(own):
                expected[name] -= float(chances[own, batch[f"{name}_ids"][own]].mean())
    assert float(found["body"]) == pytest.approx(expected["body"], rel=1e-5)
    assert float(found["title"]) == pytest.approx(expected["title"], rel=1e-5)
    assert float(found["loss"].detach()) == pytest.approx(expected["body"] + expected["title"], rel=1e-5)


def test_what_it_saves_is_a_backbone_with_a_head(task: PretrainTask, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    task.save(model, tmp_path, {})
    found = from_backbone(ModelConfig(backbone=str(tmp_path), relation_layers=1, **LIMITS))
    assert all(name.startswith(("relation.", "extraction.")) for name in found.new_parameters)
    assert "extraction.weight" in found.new_parameters
    assert torch.equal(found.cls.predictions.transform.dense.weight, model.cls.predictions.transform.dense.weight)


def test_pretraining_and_training_in_one_command(backbone: str, tmp_path: Path, run_here: RunHere) -> None:
    write_records(tmp_path / "documents.jsonl")
    output = tmp_path / "model"
    command = (
        *("train_unikeyphrase.py", "--local", "--train", tmp_path / "documents.jsonl"),
        *("--valid", tmp_path / "documents.jsonl", "--output", output),
        *("--task.model.backbone", backbone, "--task.model.source-tokens", "40", "--task.model.target-tokens", "16"),
        *("--pretrain.epochs", "30", "--pretrain.batch", "4", "--optim.epochs", "2", "--optim.batch", "4"),
    )
    finished = run_here(*command)
    assert finished.code == 0, finished.err
    lines = [json.loads(line) for line in (output / "pretrain/metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    about = json.loads((output / "best/training.json").read_text("utf-8"))
    assert about["configuration"]["task"]["model"]["backbone"] == str(output / "pretrain/best")
    assert open_predictor(str(output / "best")).predict([RECORDS[0].document]) is not None
    again = run_here(*command)
    assert again.code == 0, again.err
    assert "step" not in again.err  # it was finished
