"""Unexpected exceptions in a batch job are rejects, and other errors are not. Without Ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kpray.batch.extract import BatchRun, _PredictChunk
from kpray.corpus.sources import Source, find_sources
from kpray.corpus.writing import read_predictions
from kpray.errors import UserError
from kpray.text.cleaning import Cleaned, clean
from kpray.text.tagging import Tagger, load_tagger
from tests.batch.runs import chunks, output_of


def poison(actor: _PredictChunk, monkeypatch: pytest.MonkeyPatch, step: str, word: str) -> None:
    """Make a step of the actor's predictor fail for documents with a word."""
    predict = actor.predictor.predict_prepared

    def clean_or_fail(text: str, language: str) -> Cleaned:
        if word in text:
            raise KeyError("the word")
        return clean(text, language)

    def tag_or_fail(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        if any(word in sentence for sentence in sentences):
            raise IndexError
        return load_tagger("auto").tag_sentences(sentences)

    def predict_or_fail(prepared: Sequence[Any], top: int) -> Any:
        if any(word.lower() in each.words.stems for each in prepared):
            raise ZeroDivisionError
        return predict(prepared, top)

    if step == "prepare":
        monkeypatch.setattr("kpray.samrank.predictor.clean", clean_or_fail)
    elif step == "tag":
        monkeypatch.setattr(actor.predictor, "tagger", Tagger("nltk", tag_or_fail))
    else:
        monkeypatch.setattr(actor.predictor, "predict_prepared", predict_or_fail)


@pytest.mark.parametrize(
    ("step", "error"), [("prepare", "KeyError"), ("tag", "IndexError"), ("predict", "ZeroDivisionError")]
)
@pytest.mark.parametrize("split", [None, "sentences"])
def test_a_document_with_an_unexpected_exception_is_a_reject(
    step: str, error: str, split: Any, run: BatchRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Sparse graphs describe networks. Graphs help.", "A fast algorithm. Poison kills.", "Graph theory helps."]
    lines = [json.dumps({"id": str(index), "text": text}) for index, text in enumerate(texts)]
    (tmp_path / "some.json").write_text(f"[{', '.join(lines)}]", encoding="utf-8")  # all are in line 1
    run = replace(run, chunk_records=3, split=split)
    actor = _PredictChunk(run)
    poison(actor, monkeypatch, step, "Poison")
    [table] = chunks(run, find_sources([str(tmp_path / "some.json")])[0])
    row = actor(table).to_pylist()[0]
    assert (row["written"], row["rejected"], row["error"]) == (3 if split else 2, 1, "")
    ids = ["0#1", "0#2", "2#1"] if split else ["0", "2"]
    assert [id for _, id in read_predictions(output_of(run))] == ids
    [rejected] = (output_of(run) / "_kpray/rejects").glob("*.jsonl")
    assert json.loads(rejected.read_text("utf-8"))["reason"] == f"internal error: {error}"
    first, *trace = row["logs"].splitlines()
    assert first.startswith(f"{tmp_path}/some.json:1: internal error: {error}; this is a bug, please report it: http")
    assert trace[0].startswith("Traceback")
    assert trace[-1].startswith(error)


def test_too_many_unexpected_exceptions_end_the_job(
    run: BatchRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps({"id": str(index), "text": f"Poison number {index}."}) for index in range(60)]
    (tmp_path / "some.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = replace(run, chunk_records=30)
    actor = _PredictChunk(run)
    poison(actor, monkeypatch, "prepare", "Poison")
    first, second = (
        actor(table).to_pylist()[0] for table in chunks(run, find_sources([str(tmp_path / "some.jsonl")])[0])
    )
    assert (first["rejected"], first["error"]) == (30, "")
    assert second["error"].startswith("60 of 60 records failed, the last one with an internal error: KeyError (this is")
    assert len(list(output_of(run).glob("*.parquet"))) == 1  # the second chunk stays unfinished


@pytest.mark.parametrize("error", [UserError("no such model"), MemoryError()])
def test_other_errors_are_not_rejects(
    error: Exception, run: BatchRun, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = _PredictChunk(run)

    def fail(text: str, language: str) -> None:
        raise error

    monkeypatch.setattr("kpray.samrank.predictor.clean", fail)
    table = chunks(run, sources[0])[0]
    if isinstance(error, UserError):
        assert actor(table).to_pylist()[0]["error"] == "no such model"
    else:
        with pytest.raises(MemoryError):
            actor(table)
    assert not list(output_of(run).glob("*.parquet"))
