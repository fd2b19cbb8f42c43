"""Pretraining of a backbone without a language-model head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kpray.registry import open_predictor
from kpray.unikeyphrase.config import ModelConfig, PretrainConfig, TaskConfig
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from kpray.unikeyphrase.pretrain import PretrainTask, _split_title
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.commands import RunHere
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS, TARGET_TOKENS, write_records

LIMITS: dict[str, Any] = {"source_tokens": SOURCE_TOKENS, "target_tokens": TARGET_TOKENS}


@pytest.fixture
def task(backbone: str) -> PretrainTask:
    return PretrainTask(ModelConfig(backbone=backbone, dropout=0, attention_dropout=0, **LIMITS), PretrainConfig())


def test_body_and_title_of_a_row(task: PretrainTask) -> None:
    rows: list[Any] = task.tokenize(RECORDS)
    encoder = task.encoder
    for record, row in zip(RECORDS, rows, strict=True):
        body, title = _split_title(row, encoder)
        assert [*title[:-1], *body[1:-1]] == row["source"][1:-1].tolist()
        assert (body[0], body[-1], title[-1]) == (encoder.cls_id, encoder.sep_id, encoder.sep_id)
        assert encoder.decode_target(title) == ([record.document.title.lower()] if record.document.title else [])


def test_training_takes_the_same_rows(task: PretrainTask, backbone: str, tmp_path: Path) -> None:
    config = TaskConfig(model=ModelConfig(backbone=backbone, **LIMITS))
    assert UniKeyphraseTask(config).describe_tokens() == task.describe_tokens()
    torch.manual_seed(0)
    task.save(task.build(), tmp_path, {})
    after = TaskConfig(model=ModelConfig(backbone=str(tmp_path), **LIMITS))
    assert UniKeyphraseTask(after).describe_tokens() == task.describe_tokens()


def test_masks(task: PretrainTask) -> None:
    rows: list[Any] = task.tokenize(RECORDS)
    encoder = task.encoder
    masked = tokens = kept = 0
    for seed in range(200):
        batch = task.collate(rows, [seed * 4 + index for index in range(4)])
        flat = batch["input_ids"].flatten()
        width = batch["input_ids"].shape[1]
        texts = [np.concatenate(_split_title(row, encoder)) for row in rows]
        original = np.concatenate([np.pad(text, (0, width - len(text))) for text in texts])
        body, title = batch["body_rows"], batch["title_rows"]
        assert (original[body] == batch["body_ids"].numpy()).all()
        assert (original[title] == batch["title_ids"].numpy()).all()
        assert (flat[title] == encoder.mask_id).all()
        assert not set(batch["body_ids"].tolist()) & {encoder.cls_id, encoder.sep_id, encoder.pad_id}
        others = np.setdiff1d(np.arange(len(flat)), torch.cat([body, title]).numpy())
        assert (original[others] == flat[others].numpy()).all()
        masked += len(body)
        tokens += sum(len(_split_title(row, encoder)[0]) - 2 for row in rows)
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
    assert len(list(output.glob("**/tokens-*"))) == 1  # both read the same rows
    again = run_here(*command)
    assert again.code == 0, again.err
    assert "step" not in again.err  # it was finished


def test_validation_documents_without_keyphrases(backbone: str, tmp_path: Path, run_here: RunHere) -> None:
    """They are refused before anything is tokenized, pretrained or trained."""
    write_records(tmp_path / "documents.jsonl")
    (tmp_path / "bare.jsonl").write_text(
        '{"id": "1", "abstract": "Sparse graphs."}\n' * 1 + '{"text": "A", "id": "2"}\n'
    )
    for pretraining in ([], ["--pretrain.epochs", "1"]):
        output = tmp_path / f"model{len(pretraining)}"
        finished = run_here(
            *("train_unikeyphrase.py", "--local", "--train", tmp_path / "documents.jsonl"),
            *("--valid", tmp_path / "bare.jsonl", "--output", output, "--task.model.backbone", backbone, *pretraining),
        )
        assert (finished.code, finished.out) == (2, "")
        assert finished.err.splitlines()[-1] == (
            f"kpray: error: --valid {tmp_path}/bare.jsonl: none of the 2 validation documents has keyphrases "
            "(give files with a field `keyphrases`)"
        )
        assert not list(output.glob("**/tokens-*"))
