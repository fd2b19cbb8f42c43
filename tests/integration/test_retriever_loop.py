"""The retriever in the training loop: the loss covers the whole step, for any number of workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpray.ramkg.encoder import embed, open_retriever
from tests.integration.processes import run_processes
from tests.ramkg.tiny_retriever import make_config, make_pairs, save_backbone, save_store
from tests.train.retriever_runs import PAIRS, RetrieverCase, train_retrievers


def metrics(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text("utf-8").splitlines()]


def vectors(output: Path) -> np.ndarray:
    retriever = open_retriever(str(output / "last"))
    documents = [record.document for record in make_pairs(PAIRS, seed=1)[0]]
    return embed(retriever.encoder, retriever.texts.encode_queries(documents))


def test_two_workers_learn_what_one_learns(tmp_path: Path) -> None:
    config = make_config(save_backbone(tmp_path / "backbone"))
    english = save_store(make_pairs(PAIRS, seed=1)[1], tmp_path / "english").folder
    one = RetrieverCase(tmp_path / "one", config, english, zero=1)
    two = [
        RetrieverCase(tmp_path / "two", config, english, zero=1, checkpointing=True),
        RetrieverCase(tmp_path / "sharded", config, english, zero=3),
    ]
    run_processes(train_retrievers, [one], number=1)
    run_processes(train_retrievers, two, number=2)

    expected = metrics(one.output)
    assert [line["documents"] for line in expected if "loss" in line] == 2 * [10, 10, 1]
    [validation] = [line["validation"] for line in expected if "validation" in line]
    assert validation["queries"] == PAIRS
    for case in two:
        for line, other in zip(expected, metrics(case.output), strict=True):
            for name in {"loss", "right", "documents", "score"} & line.keys():
                assert other[name] == pytest.approx(line[name], rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(vectors(case.output), vectors(one.output), atol=1e-4)
