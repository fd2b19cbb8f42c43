"""The training task of the retriever: pairs, batches, loss, validation, and a short training."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from kpray.corpus.store import PassageStore
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.ramkg.encoder import PassageEncoder, embed, open_retriever
from kpray.ramkg.retriever_task import RetrieverTask, draw_negatives
from tests.ramkg.tiny_retriever import make_config, make_pairs, make_task, save_store


@pytest.fixture
def task(backbone: str, store: PassageStore) -> RetrieverTask:
    return make_task(backbone, store)


def build(task: RetrieverTask) -> PassageEncoder:
    torch.manual_seed(3)
    model = task.build()
    assert isinstance(model, PassageEncoder)
    return model


def rows_of(task: RetrieverTask, records: list[Record]) -> list[dict[str, Any]]:
    rows = task.tokenize(records)
    assert all(isinstance(row, dict) for row in rows), rows
    found: list[Any] = pa.Table.from_pylist(rows, schema=task.schema()).to_pylist()
    return [{name: np.array(value) for name, value in row.items()} for row in found]


def test_rows(task: RetrieverTask, store: PassageStore, pairs: list[Record]) -> None:
    for record, row in zip(pairs, rows_of(task, pairs), strict=True):
        assert row["query"].tolist() == task.texts.encode_queries([record.document])[0].tolist()
        passages = [store.record(number) for number in row["passage_rows"].tolist()]
        assert passages[0].document.id == record.document.id
        assert len({passage.document.id for passage in passages}) == 1 + task.config.negatives
        ids = task.texts.encode_passages(passages)
        assert row["passages"].tolist() == np.concatenate(ids).tolist()
        assert row["passage_lengths"].tolist() == list(map(len, ids))
        assert row["length"] == len(row["query"]) + len(row["passages"])


def test_rows_are_the_same_in_any_batch_and_process(task: RetrieverTask, pairs: list[Record]) -> None:
    sent: RetrieverTask = pickle.loads(pickle.dumps(task))
    assert len(pickle.dumps(task)) < 2000  # without tokenizer and passages
    whole = rows_of(task, pairs)
    for record, row in zip(pairs[:5], whole, strict=False):
        [alone] = rows_of(sent, [record])
        assert all((alone[name] == row[name]).all() for name in row)


def test_negatives() -> None:
    config = make_config("any", negatives=30)
    [record] = make_pairs(1, seed=1)[0]
    drawn = draw_negatives(config, record, positive=7, passages=100)
    assert len(set(drawn)) == 30
    assert set(drawn) <= set(range(100)) - {7}
    assert drawn == draw_negatives(config, replace(record, line=9), positive=7, passages=100)
    others = [
        draw_negatives(config.model_copy(update={"seed": 1}), record, 7, 100),
        draw_negatives(config, replace(record, document=replace(record.document, lang="yy")), 7, 100),
        draw_negatives(config, replace(record, document=replace(record.document, id="other")), 7, 100),
    ]
    assert all(other != drawn for other in others)
    assert sorted(draw_negatives(config, record, positive=1, passages=4)) == [0, 2, 3]
    assert draw_negatives(config, record, positive=0, passages=1) == []
    seen = {row for number in range(200) for row in draw_negatives(config, make_record(number), 50, 100)}
    assert seen == set(range(100)) - {50}


def test_pairs_of_a_step_share_the_negatives(backbone: str, store: PassageStore, pairs: list[Record]) -> None:
    """As many as the paper's 100 for each query cost a step of 32 pairs 128 passages, not 3,200."""
    task = RetrieverTask(make_config(backbone, negatives=15), store.folder, batch=8)
    batch = task.collate(rows_of(task, pairs[:8]), [0] * 8)
    assert 15 < len(batch["passage_rows"]) <= 8 * (1 + 2)
    [record] = make_pairs(1, seed=1)[0]
    assert len(draw_negatives(make_config("any", negatives=100), record, 7, 1000, batch=32)) == 4
    assert draw_negatives(make_config("any", negatives=0), record, 7, 1000, batch=32) == []
    same = RetrieverTask(make_config(backbone, negatives=16), store.folder, batch=8)
    assert same.describe_tokens() == task.describe_tokens()


def make_record(number: int, **more: Any) -> Record:
    return Record(Document(f"r{number}", "noise", lang="xx"), **more)


def test_english_passage_of_a_record(task: RetrieverTask, store: PassageStore, pairs: list[Record]) -> None:
    first, second = store.rows("en", ["d3", "d4"]).tolist()
    named = replace(pairs[0], english_ids=("d3", "d4"))
    assert rows_of(task, [named])[0]["passage_rows"][0] == first
    reasons = task.tokenize(
        [
            make_record(1),
            make_record(2, english_ids=("d9999", "d4")),
            Record(Document("d3", "half a character \ud800", lang="xx")),
            Record(Document("d4", "", lang="xx")),
            replace(make_record(5), english_ids=("d4",)),
        ]
    )
    assert reasons[:4] == [
        "there is no English passage with the id 'r1'",
        "there is no English passage with the id 'd9999'",
        "invalid Unicode (a lone surrogate)",
        "the text has no token",
    ]
    assert isinstance(reasons[4], dict)
    assert reasons[4]["passage_rows"][0] == second


def test_english_passage_without_keyphrases(backbone: str, tmp_path: Path) -> None:
    others, english = make_pairs(3, seed=2)
    store = save_store([replace(english[0], keyphrases=()), *english[1:]], tmp_path / "english")
    rows = make_task(backbone, store, target="P2K").tokenize(others)
    assert rows[0] == "the English passage with the id 'd0' has no keyphrases"
    assert all(isinstance(row, dict) for row in rows[1:])
    assert all(isinstance(row, dict) for row in make_task(backbone, store, target="P2PK").tokenize(others))


def test_batch_has_each_passage_once(task: RetrieverTask, store: PassageStore, pairs: list[Record]) -> None:
    same = replace(pairs[1], english_ids=(pairs[0].document.id,))
    rows = rows_of(task, [pairs[0], same, *pairs[2:30]])
    batch = task.collate(rows, [0] * len(rows))
    wanted = np.unique(np.concatenate([row["passage_rows"] for row in rows]))
    assert len(wanted) < 30 * (1 + task.config.negatives)
    assert batch["passage_rows"].tolist() == wanted.tolist()
    assert batch["positive_rows"].tolist() == [row["passage_rows"][0] for row in rows]
    for side, ids in (
        ("query", [row["query"] for row in rows]),
        ("passage", task.texts.encode_passages([store.record(row) for row in wanted.tolist()])),
    ):
        for found, mask, expected in zip(batch[f"{side}_ids"], batch[f"{side}_mask"], ids, strict=True):
            assert found[: len(expected)].tolist() == expected.tolist()
            assert (found[len(expected) :] == task.texts.pad_id).all()
            assert int(mask.sum()) == int(mask[: len(expected)].sum()) == len(expected)
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_loss_uses_all_passages_of_the_batch(task: RetrieverTask, store: PassageStore, pairs: list[Record]) -> None:
    model, rows = build(task), rows_of(task, pairs[:6])
    batch = task.collate(rows, [0] * 6)
    losses = task.losses(model, batch, 0.0)
    candidates = sorted({int(number) for row in rows for number in row["passage_rows"]})
    queries = embed(model, [row["query"] for row in rows]).astype(np.float64)
    passages = embed(model, task.texts.encode_passages([store.record(row) for row in candidates])).astype(np.float64)
    expected, right = 0.0, 0
    for query, row in zip(queries, rows, strict=True):
        scores = passages @ query
        gold = candidates.index(int(row["passage_rows"][0]))
        expected -= scores[gold] - np.log(np.exp(scores - scores.max()).sum()) - scores.max()
        right += scores.argmax() == gold
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["right"].item() == right
    assert losses["loss"].requires_grad
    assert task.whole_steps


def train(task: RetrieverTask, model: PassageEncoder, records: list[Record], steps: int) -> None:
    rows = rows_of(task, records)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = task.collate(rows, [0] * len(rows))
    model.train()
    for step in range(steps):
        loss = task.losses(model, batch, step / steps)["loss"] / len(rows)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_training_improves_retrieval(task: RetrieverTask, pairs: list[Record], tmp_path: Path) -> None:
    model = build(task)
    before = task.conclude(task.validate(model, pairs))
    train(task, model, pairs, steps=60)
    after = task.conclude(task.validate(model, pairs))
    assert before.metrics["recall@1"] < 50 < 90 < after.metrics["recall@1"]
    assert model.training

    task.save(model, tmp_path, after.decisions)
    retriever = open_retriever(str(tmp_path))
    queries = [pairs[0].document]
    np.testing.assert_array_equal(
        embed(retriever.encoder, retriever.texts.encode_queries(queries)),
        embed(model, task.texts.encode_queries(queries)),
    )
    assert json.loads((tmp_path / "retriever.json").read_text("utf-8"))["negatives"] == task.config.negatives


def naive_ranks(task: RetrieverTask, model: PassageEncoder, records: list[Record], pool: list[int]) -> list[int]:
    ranks = []
    for record in records:
        gold = int(task.store.rows("en", [record.document.id])[0])
        others = [row for row in pool if row != gold]
        passages = task.texts.encode_passages([task.store.record(row) for row in [gold, *others]])
        [query] = embed(model, task.texts.encode_queries([record.document]))
        positive, *scores = (embed(model, passages) @ query).tolist()
        ranks.append(1 + sum(score >= positive for score in scores))
    return ranks


@pytest.mark.parametrize(("most", "pool"), [(1000, list(range(40))), (4, [0, 10, 20, 30]), (3, [0, 13, 26])])
def test_validation_ranks_the_passage_among_others(
    backbone: str, store: PassageStore, pairs: list[Record], most: int, pool: list[int]
) -> None:
    task = make_task(backbone, store, valid_passages=most)
    model = build(task)
    ranks = naive_ranks(task, model, pairs, pool)
    sums = task.validate(model, pairs)
    recall = {f"recall@{k}": sum(rank <= k for rank in ranks) for k in (1, 2, 5, 10, 20)}
    assert sums == pytest.approx({"queries": 40, "mrr": sum(1 / rank for rank in ranks), **recall})
    validation = task.conclude(sums)
    assert validation.metrics["recall@2"] == 100 * recall["recall@2"] / 40
    assert validation.score == pytest.approx(100 * recall["recall@1"] / 40, abs=1e-3)
    assert validation.score > 100 * recall["recall@1"] / 40


def test_sums_of_validation_add_up_over_shares(task: RetrieverTask, pairs: list[Record]) -> None:
    model = build(task)
    unknown = [
        make_record(1),
        Record(Document("d3", "half \ud800")),
    ]  # without an English passage, and with invalid Unicode
    whole = task.validate(model, [*pairs, *unknown])
    shares = [task.validate(model, share) for share in (pairs[:7], [*pairs[7:], unknown[0]], unknown, [])]
    assert shares[2:] == [{}, {}]
    assert {name: shares[0][name] + shares[1][name] for name in whole} == pytest.approx(whole)
    assert task.conclude({}).score == 0


def test_an_encoder_with_constant_output_has_no_recall(task: RetrieverTask, pairs: list[Record]) -> None:
    model = build(task)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert task.validate(model, pairs[:5])["mrr"] == pytest.approx(5 * 1 / 40)


def test_score_is_recall_and_then_reciprocal_rank(task: RetrieverTask) -> None:
    def score(hits: int, mrr: float) -> float:
        return task.conclude({"queries": 1000, "mrr": mrr, **{f"recall@{k}": hits for k in (1, 2, 5, 10, 20)}}).score

    assert score(11, 11) > score(10, 999) > score(10, 998)


def test_wrapped_model(task: RetrieverTask, pairs: list[Record]) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.module(*inputs)

    model = build(task)
    wrapped = Wrapped(Wrapped(model))
    assert task.validate(wrapped, pairs) == task.validate(model, pairs)
    rows = rows_of(task, pairs[:4])
    batch = task.collate(rows, [0] * 4)
    assert task.losses(wrapped, batch, 0.5)["loss"].item() == task.losses(model, batch, 0.5)["loss"].item()


def test_what_training_and_tokens_depend_on(task: RetrieverTask, store: PassageStore, tmp_path: Path) -> None:
    assert task.describe() == {"kind": "retriever", **task.config.model_dump(mode="json"), "english": store.sha256}
    json.dumps(task.describe())
    other = save_store(make_pairs(5, seed=9)[1], tmp_path / "english")
    moved = save_store(make_pairs(40, seed=1)[1], tmp_path / "moved")
    config = task.config
    assert RetrieverTask(config, moved.folder).describe() == task.describe()
    assert RetrieverTask(config, other.folder).describe_tokens() != task.describe_tokens()
    for field, value in {"pooling": "mean", "valid_passages": 5}.items():
        changed = RetrieverTask(config.model_copy(update={field: value}), store.folder)
        assert changed.describe_tokens() == task.describe_tokens()
        assert changed.describe() != task.describe()
    for field, value in {"negatives": 1, "seed": 5, "target": "P2K", "passage_tokens": 8}.items():
        changed = RetrieverTask(config.model_copy(update={field: value}), store.folder)
        assert changed.describe_tokens() != task.describe_tokens()


def test_check_refuses_validation_data_without_english_passages(task: RetrieverTask, pairs: list[Record]) -> None:
    task.check([make_record(1), pairs[0]])
    with pytest.raises(UserError, match=r"^--valid .*: none of the 2 validation documents .* with the id 'r1'"):
        task.check([make_record(1), make_record(2)])
