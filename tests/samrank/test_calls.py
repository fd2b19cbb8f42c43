"""The calls that programs make: one text, many texts, an error for each bad one, pickles and copies."""

from __future__ import annotations

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from kpray import Document, RejectedDocument, UserError, evaluate, open_predictor, read_records
from kpray.document import Record
from kpray.metrics.protocols import get_protocol
from kpray.predictor import Explanation, Predictor, reopen
from kpray.selection import SelectionOptions
from tests.samrank.tiny_models import save_bert

TEXTS = ["Solar panels lose output as they age.", "Wind turbines need strong winds."]
LAO = Document(id="7", body="ແສງຕາເວັນ", lang="lo")  # kpray cannot split Lao into words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("textblob", reason="no tagger (extra `offline`) is installed")
    return save_bert(tmp_path_factory.mktemp("bert")).folder


@pytest.fixture(scope="module")
def predictor(folder: str) -> Predictor[Any]:
    return open_predictor("samrank", {"model": folder, "heads": ["1-1"], "tagger": "textblob"})


def test_one_text_gives_its_keyphrases(predictor: Predictor[Any]) -> None:
    first, second = predictor.predict(TEXTS)
    assert predictor(TEXTS[0]) == predictor.predict(TEXTS[0]) == first != []
    assert predictor(Document(body=TEXTS[1])) == predictor({"text": TEXTS[1]}) == second
    assert predictor(iter(TEXTS)) == [first, second]
    assert predictor(TEXTS[0], top=1) == first[:1]
    assert predictor([]) == []
    assert predictor("") == []


def test_explanations(predictor: Predictor[Any]) -> None:
    one = predictor(TEXTS[0], explain=True)
    assert isinstance(one, Explanation)
    assert one.keyphrases == predictor(TEXTS[0])
    assert [each.keyphrases for each in predictor(TEXTS, explain=True)] == predictor(TEXTS)


def test_rejected_document_is_in_its_position(predictor: Predictor[Any]) -> None:
    first, rejected, second = predictor.predict([TEXTS[0], LAO, TEXTS[1]])
    assert [first, second] == predictor.predict(TEXTS)
    assert isinstance(rejected, RejectedDocument)
    assert str(rejected).startswith("document 7: language 'lo' is written without spaces")
    again = pickle.loads(pickle.dumps(rejected))
    assert (str(again), again.reason, again.document) == (str(rejected), rejected.reason, "7")
    [explained] = predictor.predict(["half \ud800"], explain=True)
    assert str(explained) == "document 1: the text is not valid Unicode (a lone surrogate)"


def test_the_only_document_is_raised(predictor: Predictor[Any]) -> None:
    with pytest.raises(RejectedDocument, match=r"^document 7: language 'lo'"):
        predictor(LAO)
    with pytest.raises(RejectedDocument, match=r"^the text is not valid Unicode"):
        predictor("half \ud800")


@pytest.mark.parametrize("top", [0, -1])
def test_top_is_positive(top: int, predictor: Predictor[Any]) -> None:
    with pytest.raises(UserError) as caught:
        predictor(TEXTS, top=top)
    assert str(caught.value) == f"top is {top} (give 1 or more)"


@pytest.mark.parametrize("top", ["5", 5.0, None, True])
def test_top_is_an_integer(top: Any, predictor: Predictor[Any]) -> None:
    with pytest.raises(TypeError, match=f"top must be an integer, not {type(top).__name__}"):
        predictor(TEXTS, top=top)


def test_files_and_evaluation(predictor: Predictor[Any], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Solar panels age.", "keyphrases": ["solar panels"]}\n')
    records = list(read_records([str(tmp_path / "a.jsonl")]))
    [keyphrases] = predictor.predict(records)
    [record] = records
    assert isinstance(record, Record)
    report = evaluate([record], [keyphrases], "samrank")
    assert report.scores["recall@5"].mean == 100
    assert report == evaluate([record], {("en", "1"): keyphrases}, get_protocol("samrank"))
    assert evaluate([record], [RejectedDocument("too long")], "samrank").missing == (("en", "1"),)
    with pytest.raises(UserError, match="there are 2 predictions for 1 records"):
        evaluate([record], [keyphrases, keyphrases], "samrank")


def test_save_takes_a_string(predictor: Predictor[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    predictor.save("new/folder")
    assert open_predictor("new/folder").predict(TEXTS) == predictor.predict(TEXTS)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (None, TypeError, "save needs the path of a folder, not NoneType"),
        (
            "s3://bucket/x",
            UserError,
            "s3://bucket/x: a predictor is saved in a local folder (save it there, then upload it)",
        ),
        (__file__, UserError, f"{__file__}: the folder cannot be made: File exists"),
    ],
)
def test_folder_that_cannot_be_saved_in(
    target: Any, error: type[Exception], message: str, predictor: Predictor[Any]
) -> None:
    with pytest.raises(error) as caught:
        predictor.save(target)
    assert str(caught.value) == message


def test_pickle_has_the_configuration_only(predictor: Predictor[Any]) -> None:
    pickled = pickle.dumps(predictor)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    assert again is not predictor
    assert again.predict(TEXTS) == predictor.predict(TEXTS)
    assert again.describe() == predictor.describe()
    assert pickle.loads(pickled) is again  # a process opens it once


def test_pickle_keeps_the_selection(predictor: Predictor[Any]) -> None:
    chosen = predictor.selecting(SelectionOptions(max_words=1))
    assert chosen.predict(TEXTS) != predictor.predict(TEXTS)
    assert pickle.loads(pickle.dumps(chosen)).predict(TEXTS) == chosen.predict(TEXTS)
    assert pickle.loads(pickle.dumps(predictor)).predict(TEXTS) == predictor.predict(TEXTS)


def test_pickle_whose_model_has_gone(folder: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    moved = open_predictor("samrank", {"model": str(tmp_path / "model"), "heads": ["1-1"], "tagger": "textblob"})
    pickled = pickle.dumps(moved)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(UserError) as caught:
        pickle.loads(pickled)
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"a pickled predictor cannot be opened: model: cannot load model '{tmp_path}/model'")
    assert line.endswith("(a pickle has the configuration only: every machine needs the same folders and packages)")


def test_copies_load_nothing(predictor: Predictor[Any]) -> None:
    assert copy.deepcopy(predictor) is predictor
    assert vars(copy.copy(predictor)) == vars(predictor)


def test_only_two_pickled_predictors_stay_open(predictor: Predictor[Any]) -> None:
    pickle.loads(pickle.dumps(predictor))
    assert reopen.cache_info().maxsize == 2
