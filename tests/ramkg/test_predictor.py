"""RAMKG without retrieval: the folder that the training of a generator writes is a predictor."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kpray import open_predictor
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.ramkg.config import RAMKGConfig
from kpray.registry import pin_config
from kpray.selection import SelectionOptions
from tests.ramkg import tiny_generator
from tests.ramkg.tiny_generator import RECORDS


@pytest.fixture(scope="module")
def saved(seq2seq: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a generator without retrieval that has memorized `RECORDS`."""
    task = tiny_generator.make_task(seq2seq["mbart25"], passages=0)
    folder = tmp_path_factory.mktemp("trained")
    task.save(tiny_generator.train(task, steps=60), folder, {})
    return folder


def test_a_generator_without_retrieval_is_a_predictor(saved: Path) -> None:
    predictor = open_predictor(str(saved))
    explained = predictor.predict([record.document for record in RECORDS], explain=True)
    assert all(each.evidence == () and each.support is None for each in explained)
    again = pickle.loads(pickle.dumps(predictor.selecting(SelectionOptions(max_words=1), support=True)))
    assert (again.selection.options.max_words, again.selection.support) == (1, True)
    short = predictor.selecting(SelectionOptions(max_words=1))
    assert short.predict(RECORDS[1].document, explain=True).keyphrases == short.predict(RECORDS[1].document)
    assert len(short.predict(RECORDS[1].document)) < len(explained[1].keyphrases)
    keys = [(record.document.lang, record.document.id) for record in RECORDS]
    predicted = dict(zip(keys, (each.keyphrases for each in explained), strict=True))
    assert evaluate(RECORDS, predicted, get_protocol("ramkg")).scores["f1@M"].mean == 100
    about = predictor.describe()
    assert (about["predictor"], about["training"]["passages"]) == ("ramkg", 0)
    assert pin_config(str(saved), {})["weights"] == about["config"]["weights"]
    with pytest.raises(UserError, match="the weights have the SHA-256"):
        open_predictor(str(saved), {"weights": "0" * 16})


def test_it_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    predictor = open_predictor(str(saved))
    texts = [record.document for record in RECORDS]
    expected = predictor.predict(texts)
    predictor.save(tmp_path)
    predictor.save(saved)  # nothing to copy
    assert not (saved / "generator").exists()
    assert open_predictor(str(tmp_path)).predict(texts) == open_predictor(str(saved)).predict(texts) == expected


def test_a_generator_with_retrieval_needs_a_retriever(seq2seq: dict[str, str], english: Path, tmp_path: Path) -> None:
    task = tiny_generator.make_task(seq2seq["mbart25"], english)
    task.save(task.build(), tmp_path, {})
    message = r"reads the keyphrases of retrieved passages \(task.passages 2\), and has no retriever"
    for use in (open_predictor, lambda name: pin_config(name, {})):
        with pytest.raises(UserError, match=message):
            use(str(tmp_path))


def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "generator.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not the file of a generator"):
        _ = RAMKGConfig(model=str(tmp_path)).generator_folder
