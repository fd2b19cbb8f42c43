"""A predictor that comes with kpray is opened by its kind."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import kpray.hub
from deploy.ship_model import ship_model
from kpray import open_predictor
from kpray.errors import UserError
from kpray.hub import pin_name
from kpray.registry import kind_of, pin_config, predictor_version
from tests.unikeyphrase.tiny_model import RECORDS

DOCUMENTS = [record.document for record in RECORDS]


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """Output folder of a training that began with a pretraining: the model's backbone is a folder of this machine."""
    shutil.copytree(saved, tmp_path / "run/best")
    settings = {"task": {"model": {"backbone": "sentence-transformers/all-MiniLM-L6-v2"}}}
    (tmp_path / "run/_config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path / "run"


@pytest.fixture
def shipped(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model that comes with kpray, with weights in half precision."""
    monkeypatch.setattr(kpray.hub, "SHIPPED", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return ship_model(run / "best", tmp_path / "models")


def test_it_names_no_path_of_this_machine(shipped: Path, run: Path, tmp_path: Path) -> None:
    settings = json.loads((shipped / "kpray.json").read_text("utf-8"))
    assert settings["config"]["model"] == "unikeyphrase"
    assert settings["training"]["task"]["model"]["backbone"] == "sentence-transformers/all-MiniLM-L6-v2"
    (run / "_config.yaml").unlink()
    with pytest.raises(UserError, match="its settings name a path of this machine"):
        ship_model(run / "best", tmp_path / "models")


def test_its_card_is_kept(shipped: Path, run: Path, tmp_path: Path) -> None:
    (shipped / "README.md").write_text("# Card\n", encoding="utf-8")
    before = weights_of(shipped)
    assert ship_model(run / "best", tmp_path / "models") == shipped
    assert (shipped / "README.md").read_text("utf-8") == "# Card\n"
    after = weights_of(shipped)
    assert all(value.dtype == torch.float16 and value.equal(before[name]) for name, value in after.items())


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def save_weights(folder: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_it_is_opened_by_its_kind(shipped: Path, saved: Path, tmp_path: Path) -> None:
    """The weights are stored in half precision and computed with in single precision."""
    rounded = tmp_path / "rounded"
    shutil.copytree(saved, rounded)
    save_weights(rounded, {name: value.float() for name, value in weights_of(shipped).items()})
    found = open_predictor("unikeyphrase").predict(DOCUMENTS)
    assert open_predictor(str(rounded)).predict(DOCUMENTS) == found
    assert open_predictor(str(shipped)).predict(DOCUMENTS) == found
    assert kind_of("unikeyphrase") == "unikeyphrase"


def test_its_options_can_be_set(shipped: Path) -> None:
    assert open_predictor("unikeyphrase", {"decode": {"beams": 2}}).config.decode.beams == 2


def test_its_name_means_the_same_on_every_machine(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "unikeyphrase").mkdir()  # a folder of the same name in the current folder
    assert pin_name("unikeyphrase") == "unikeyphrase"
    pinned = pin_config("unikeyphrase", {})
    assert pinned["model"] == "unikeyphrase"
    assert pin_config(str(shipped), {}) == {**pinned, "model": str(shipped)}
    with pytest.raises(UserError, match=r"'\./unikeyphrase' is not a predictor"):
        open_predictor("./unikeyphrase")


def test_other_weights_are_another_version(shipped: Path) -> None:
    before = pin_config("unikeyphrase", {})
    weights = weights_of(shipped)
    save_weights(shipped, {**weights, "extraction.bias": weights["extraction.bias"] + 1})
    after = pin_config("unikeyphrase", {})
    assert before["weights"] != after["weights"]
    assert predictor_version("unikeyphrase", before) != predictor_version("unikeyphrase", after)


def test_the_model_that_comes_with_kpray() -> None:
    """Its card has its checksum, and it finds present and absent keyphrases of an abstract."""
    weights = kpray.hub.SHIPPED / "unikeyphrase/model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in weights.with_name("README.md").read_text("utf-8")
    assert weights.stat().st_size < 50_000_000
    text = (
        "Fast and accurate maximum inner product recommendations on map-reduce. We recommend items by matrix "
        "factorization. The search for the items with the maximum inner product takes most of the time, so we "
        "partition the items, and search the partitions in parallel on Hadoop."
    )
    found = open_predictor("unikeyphrase").predict(text)
    assert {"map-reduce", "maximum inner product"} <= {phrase.text for phrase in found if phrase.present}
    assert "recommender systems" in {phrase.text for phrase in found if not phrase.present}
