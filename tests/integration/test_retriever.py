"""Training of the retriever on a real local Ray, from input files to a folder that can be opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kpray.corpus.store import PassageStore
from kpray.ramkg.encoder import embed, open_retriever
from tests.commands import ROOT, RunHere
from tests.integration.conftest import StartJob
from tests.ramkg.tiny_retriever import make_pairs, save_backbone, write_records

PAIRS, VALID = 48, 12


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of the job, except --output."""
    folder = tmp_path_factory.mktemp("records")
    others, english = make_pairs(PAIRS + VALID, seed=6)
    train, valid = write_records(others[:PAIRS], folder / "train.jsonl"), folder / "valid.jsonl"
    with (folder / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "alone", "lang": "xx", "abstract": "esion"}) + "\n")
    files = [
        *("--train", train, "--valid", write_records(others[PAIRS:], valid)),
        *("--english", write_records(english, folder / "english.jsonl")),
    ]
    task = ["--task.backbone", save_backbone(folder / "backbone"), "--task.passage-tokens", "24"]
    optim = ["--optim.epochs", "20", "--optim.batch", "16", "--optim.lr", "0.003"]
    run = ["--run.validate-every", "15", "--run.log-every", "5", "--run.workers", "2", "--run.micro-tokens", "1"]
    return [*files, *task, *optim, *run]


@pytest.mark.slow
def test_training_of_two_workers(start_shared: StartJob, options: list[str], tmp_path: Path) -> None:
    output = tmp_path / "output"
    finished = start_shared(ROOT / "jobs/train_retriever.py", *options, "--output", output).finish()
    assert finished.code == 0, finished.err
    assert finished.out.startswith(f"{20 * PAIRS // 16} steps; best model at step ")
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["seen"] for line in lines if "seen" in line] == 20 * [PAIRS]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] / 2
    recall = [line["validation"]["recall@1"] for line in lines if "validation" in line]
    assert max(recall) > 50  # among 60 passages, of words that occur in the training data

    [rejects] = output.glob("tokens-*/_rejects.jsonl")
    assert "no English passage with the id 'alone'" in rejects.read_text("utf-8")
    [store] = output.glob("english-*/store")
    assert len(PassageStore(store)) == PAIRS + VALID
    retriever = open_retriever(str(output / "best"))
    others, english = make_pairs(PAIRS + VALID, seed=6)
    queries = embed(retriever.encoder, retriever.texts.encode_queries([record.document for record in others[PAIRS:]]))
    passages = embed(retriever.encoder, retriever.texts.encode_passages(english))
    found = (queries @ passages.T).argmax(1)
    right = 100 * float(np.mean(found == np.arange(PAIRS, PAIRS + VALID)))
    about = json.loads((output / "best/training.json").read_text("utf-8"))
    assert right == pytest.approx(about["metrics"]["recall@1"]) == max(recall)


def test_dry_run_and_mistakes_start_nothing(options: list[str], run_here: RunHere, tmp_path: Path) -> None:
    output = tmp_path / "output"
    plan = run_here("train_retriever.py", *options, "--output", output, "--dry-run")
    assert plan.code == 0
    assert f"English passages: 1 jsonl files, {PAIRS + VALID} records" in plan.out
    assert not output.exists()

    nothing = write_records(make_pairs(2, seed=1)[1], tmp_path / "english.jsonl")
    finished = run_here("train_retriever.py", *options, "--output", output, "--english", nothing)
    assert finished.code == 2
    assert f"valid.jsonl: none of the {VALID} validation documents has an English passage" in finished.err
    missing = run_here("train_retriever.py", *options[:2], "--output", output)
    assert missing.code == 2
    assert "is required" in missing.err
