"""The job that trains the generator, on a real local Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kpray.ramkg.generator import open_generator
from tests.commands import ROOT, RunHere
from tests.integration.conftest import StartJob
from tests.ramkg.tiny_generator import PASSAGES, RECORDS, save_backbone


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Options of the job for a tiny model and 40 documents in four languages, except --output."""
    folder = tmp_path_factory.mktemp("records")
    write(folder / "english.jsonl", [{"id": id, "text": text, "keyphrases": gold} for id, text, gold in PASSAGES])
    records: list[dict[str, Any]] = [
        {
            "id": f"{number}-{record.document.id}",
            "lang": record.document.lang,
            "text": record.document.text,
            "keyphrases": record.keyphrases,
            "english_ids": record.english_ids,
        }
        for number in range(10)
        for record in RECORDS
    ]
    write(folder / "train.jsonl", records)
    write(folder / "valid.jsonl", records[:4])
    (folder / "model").mkdir()
    files = [f"--{name}={folder}/{name}.jsonl" for name in ("train", "valid", "english")]
    task = ["--task.source-tokens", "40", "--task.keyphrase-tokens", "16", "--task.target-tokens", "20"]
    optim = ["--optim.lr", "0.005", "--optim.epochs", "16", "--optim.batch", "8", "--optim.warmup", "0.1"]
    run = ["--run.validate-every", "30", "--run.micro-tokens", "150"]
    return [*files, "--task.backbone", save_backbone(folder / "model", "mbart25"), *task, *optim, *run]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.slow
def test_training(options: list[str | Path], start_shared: StartJob, tmp_path: Path) -> None:
    output = tmp_path / "output"
    arguments = [ROOT / "jobs/train_generator.py", *options, "--langs", "de", "fr", "zh", "--output", output]
    finished = start_shared(*arguments).finish()
    assert finished.code == 0, finished.err
    about = json.loads((output / "best/training.json").read_text("utf-8"))
    assert about["score"] == about["metrics"]["f1@M"] == about["metrics"]["f1@M zh_CN"] == 100
    assert "f1@M ko" not in about["metrics"]
    assert f"best model at step {about['step']}, score 100: {output / 'best'}" in finished.out
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["seen"] for line in lines if "seen" in line] == [30] * 16
    assert all(line["target_tokens"] > 2 for line in lines if "loss" in line)
    [rejects] = output.glob("tokens-*/_rejects.jsonl")
    reasons = [json.loads(line)["reason"] for line in rejects.read_text("utf-8").splitlines()]
    assert reasons == ["the language 'ko' is not in --langs"] * 10

    generator = open_generator(str(output / "best"))
    mixer = generator.mixer
    sources: list[Any] = mixer.sources(
        [record.document.text for record in RECORDS[:3]],
        [mixer.language(record.document.lang) for record in RECORDS[:3]],
        [["graph theory", "networks"], ["neural networks", "deep learning"], ["machine translation", "corpora"]],
    )
    generated = generator.generate(sources, ["de", "fr", "zh"])
    assert [tuple(text for text, _ in phrases) for phrases in generated] == [r.keyphrases for r in RECORDS[:3]]

    again = start_shared(*arguments).finish()  # the training is complete
    assert (again.code, again.out) == (0, finished.out)
    assert "reading --english" in finished.err
    assert "reading --english" not in again.err


def test_dry_run_and_mistakes_start_nothing(options: list[str | Path], run_here: RunHere, tmp_path: Path) -> None:
    output = tmp_path / "output"
    dry = run_here("train_generator.py", *options, "--output", output, "--dry-run")
    assert dry.code == 0, dry.err
    assert "to train on 1 jsonl files, 40 records" in dry.out
    assert "English passages: 1 jsonl files, 4 records" in dry.out
    assert not output.exists()

    without = [option for option in options if not str(option).startswith("--english")]
    refused = run_here("train_generator.py", *without, "--output", output)
    assert (refused.code, output.exists()) == (2, False)
    assert refused.err == (
        "kpray: error: --english is required (give it, or --task.passages 0 for a generator without retrieval)\n"
    )
    unknown = run_here("train_generator.py", *options, "--output", output, "--langs", "it")
    assert unknown.err.splitlines()[-1].startswith("kpray: error: --valid ")
    assert "validation documents is in a language of --langs" in unknown.err.splitlines()[-1]
