"""What the steps of RGIT depend on, and errors before the first step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpray.cluster.step_cache import Step
from kpray.corpus.limits import Limits
from kpray.corpus.store import build_store
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.ramkg.config import RGITConfig
from kpray.ramkg.rgit import final_pairs
from kpray.rgit.config import RGITSettings
from kpray.rgit.corpora import Corpora
from kpray.rgit.job import run_rgit
from kpray.rgit.rounds import Retrieved, RoundSteps, document_f1, logged_rounds, model_identity
from tests.ramkg import tiny_generator
from tests.ramkg.tiny_retriever import make_pairs, save_backbone, write_records


def test_f1_of_a_document() -> None:
    record = Record(Document("1", "Sparse graphs and kernels."), ("graph", "kernel", "noise"))
    assert document_f1(record, ["graph", "kernel", "Kernel"]) == pytest.approx(
        100 * 2 * (2 / 2 * 2 / 3) / (2 / 2 + 2 / 3)
    )
    assert document_f1(record, []) == 0


def test_identity_of_a_model_is_its_weights(tmp_path: Path) -> None:
    for name in ("one", "same", "other"):
        (tmp_path / name).mkdir()
        save_backbone(tmp_path / name, num_hidden_layers=1 if name == "other" else 2)
    one, same, other = (model_identity(str(tmp_path / name)) for name in ("one", "same", "other"))
    assert one == same != other
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="the weights cannot be read"):
        model_identity(str(tmp_path / "empty"))


class FakeSteps:
    """Steps of a run in which retrieval helps nowhere."""

    def __init__(self, folder: Path) -> None:
        step = Step(folder, "key", {}, reused=False)
        self.retriever = Retrieved(step, step, np.zeros((3, 1), np.int64), np.zeros((3, 1), np.float32), {1: 50.0})

    def base_f1(self) -> np.ndarray:
        return np.zeros(3)

    def train_retriever(self, pseudo: np.ndarray, schedule: str) -> Retrieved:
        assert len(pseudo) == 0
        return self.retriever

    def recall(self, retriever: Retrieved) -> float:
        return 0.5

    def english_passages(self) -> int:
        return 3

    def retrieve(self, retriever: Retrieved) -> np.ndarray:
        return np.zeros(3, np.int64)

    def retrieved_f1(self, retriever: Retrieved, rows: np.ndarray) -> np.ndarray:
        return np.zeros(len(rows))


def test_a_round_that_mines_nothing_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: Any = FakeSteps(tmp_path)
    rounds = list(logged_rounds(steps, RGITConfig(), tmp_path / "rounds"))
    assert [None if round_.mined is None else len(round_.mined) for round_ in rounds] == [0, None]
    assert json.loads((tmp_path / "rounds/00.json").read_text("utf-8"))["mined"] == []
    said = capsys.readouterr().err
    assert "round 1: recall @1 50.0; no pair mined, because retrieval added more than 5 points" in said
    assert len(final_pairs(rounds)) == 0


def test_label_accuracy_on_the_validation_pairs(tmp_path: Path) -> None:
    """Of four validation pairs, retrieval helps three, and the first retrieved passage of two is theirs."""

    class Steps(RoundSteps):
        def train_generator(self, retriever: Retrieved | None, names: Any) -> Any:
            assert names == ("parallel",)
            return retriever

        def _f1(self, generator: Any, rows: np.ndarray, retriever: Retrieved | None) -> np.ndarray:
            assert generator is retriever
            first = self._rows("valid_pairs")[0]
            gain = np.array([20.0, 20.0, 20.0, 0.0]) if retriever else np.zeros(4)
            f1: np.ndarray = 40 + gain[rows - first]
            return f1

    others, english = make_pairs(8, seed=2)
    store = build_store([write_records(english, tmp_path / "english.jsonl")], tmp_path / "english")
    pairs = [replace(record, english_ids=(record.document.id,)) for record in others]
    documents = build_store([write_records(pairs, tmp_path / "documents.jsonl")], tmp_path / "documents")
    corpora = Corpora(store, documents, {"valid_pairs": range(2, 6), "valid": range(2, 6)})
    models: Any = None
    steps = Steps(tmp_path, corpora, models, Limits())
    found = store.rows("en", [documents.record(row).document.id for row in range(len(documents))])[:, None]
    found[3] = found[7]  # a wrong passage for the second validation pair
    found[5] = found[7]  # retrieval does not help the last one
    step = Step(tmp_path, "key", {}, reused=False)
    retriever = Retrieved(step, step, found, np.zeros_like(found, np.float32), {1: 50.0})
    mined, accuracy = steps.label_accuracy(retriever, 5)
    assert (mined, round(accuracy or 0, 4)) == (3, 66.6667)
    assert steps.label_accuracy(retriever, 30) == (0, None)


def make_job(folder: Path, **more: object) -> RGITSettings:
    """A valid job. `more` overrides some of its values."""
    others, english = make_pairs(8, seed=2)
    (folder / "encoder").mkdir()
    (folder / "seq2seq").mkdir()
    plain = [Record(Document(f"n{index}", r.document.body, lang="de"), ("Netze",)) for index, r in enumerate(others)]
    pairs = [Record(Document(r.document.id, r.document.body, lang="de"), r.keyphrases) for r in others]
    files = {"parallel": pairs, "passages": plain, "english": english}
    given = {name: [write_records(records, folder / f"{name}.jsonl")] for name, records in files.items()}
    values = {
        **given,
        "output": str(folder / "output"),
        "retriever": {"backbone": save_backbone(folder / "encoder"), "passage_tokens": 24},
        "generator": {
            "backbone": tiny_generator.save_backbone(folder / "seq2seq", "mbart25"),
            "source_tokens": 40,
            "keyphrase_tokens": 16,
            "target_tokens": 20,
        },
    }
    return RGITSettings.model_validate({**values, **more})


def replace_lang(path: str, lang: str) -> None:
    rows = [{**json.loads(line), "lang": lang} for line in Path(path).read_text("utf-8").splitlines()]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_language_that_the_generator_does_not_support(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    replace_lang(job.passages[0], "sw")
    with pytest.raises(UserError, match="sw"):
        run_rgit(job)
    assert not (tmp_path / "output/steps").exists()


def test_english_documents_without_keyphrases(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    rows = [{"id": r.document.id, "abstract": r.document.body} for r in make_pairs(8, seed=2)[1]]
    Path(job.english[0]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(UserError, match="the English documents have no keyphrases"):
        run_rgit(job)


def test_marks_that_the_encoder_does_not_know(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    with pytest.raises(UserError, match=r"lacks '\[nowhere\]'"):
        run_rgit(job.model_copy(update={"retriever": job.retriever.model_copy(update={"marks": ("[nowhere]", ".")})}))
