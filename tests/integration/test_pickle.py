"""A predictor in forked processes and in threads, which share its weights. docs/python.md has spawned ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from kpray import Keyphrase, open_predictor
from tests.samrank.tiny_models import save_bert

TEXTS = ["Solar panels lose output as they age.", "Wind turbines need strong winds."] * 4


@pytest.mark.parametrize("worker", ["fork", "threads"])
def test_predictor_in_a_worker(worker: str, tmp_path: Path) -> None:
    pytest.importorskip("textblob", reason="no tagger (extra `offline`) is installed")
    config = {"model": save_bert(tmp_path / "bert").folder, "heads": ["1-1"], "tagger": "textblob"}
    predictor = open_predictor("samrank", config)
    expected = predictor.predict(TEXTS)
    found: list[list[Keyphrase]]
    if worker == "fork":
        with get_context("fork").Pool(2) as pool:
            found = pool.map(predictor, TEXTS)
    else:
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(predictor, TEXTS))
    assert found == expected


def test_spacy_in_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("textblob", reason="no tagger (extra `offline`) is installed")
    spacy = pytest.importorskip("spacy", reason="spaCy (extra `spacy`) is not installed")
    import kpray.adapters.spacy  # noqa: F401  # registers the component

    nlp = spacy.blank("en")
    config = {"model": save_bert(tmp_path / "bert").folder, "heads": ["1-1"], "tagger": "textblob"}
    nlp.add_pipe("kpray", config={"config": config})
    expected = [doc._.keyphrases for doc in nlp.pipe(TEXTS)]
    docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=4))
    assert [doc._.keyphrases for doc in docs] == expected
    assert [len(doc.spans["keyphrases"]) for doc in docs] == [sum(len(k.offsets) for k in each) for each in expected]
