"""Opening a predictor by name or folder, and the error for each mistake that a user can make."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from kpray.document import Document
from kpray.errors import UserError
from kpray.predictor import PREDICTOR_FILE
from kpray.registry import MethodSections, open_predictor, pin_config, section_of
from kpray.samrank.config import SAMRankConfig
from kpray.text.tagging import load_tagger
from kpray.unikeyphrase.config import DecodeConfig, UniKeyphraseOptions
from tests.samrank.tiny_models import (
    SENTENCES,
    save_bart,
    save_bert,
    save_gpt2,
    save_t5,
)

DOCUMENTS = [
    Document("1", " ".join(SENTENCES), title="Attention"),
    Document("2", "Les réseaux de neurones et les graphes.", lang="fr"),
    Document("3", ""),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a small BERT. Skips the test if no English tagger is installed."""
    try:
        load_tagger("auto")
    except UserError as error:
        pytest.skip(str(error))
    return save_bert(tmp_path_factory.mktemp("bert")).folder


def copy_of(folder: str, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def message(name: str, config: dict[str, Any] | None = None) -> str:
    """The error message, which must be one line."""
    with pytest.raises(UserError) as caught:
        open_predictor(name, config)
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line


def test_opens_by_name(bert: str) -> None:
    predictor = open_predictor("samrank", {"model": bert, "heads": ["1-2"]})
    assert predictor.kind == "samrank"
    assert predictor.describe()["config"]["heads"] == ["1-2"]


def test_saved_predictor_predicts_the_same(bert: str, tmp_path: Path) -> None:
    predictor = open_predictor(
        "samrank", {"model": bert, "heads": ["3-1", "1-2"], "segment_tokens": 30, "score": "global"}
    )
    predictor.save(tmp_path / "new" / "folder")
    opened = open_predictor(str(tmp_path / "new" / "folder"))
    assert opened.describe() == predictor.describe()
    expected = predictor.predict(DOCUMENTS)
    assert len(expected[0]) == 10
    assert opened.predict(DOCUMENTS) == expected


def test_fields_of_a_saved_predictor_can_be_overridden(bert: str, tmp_path: Path) -> None:
    open_predictor("samrank", {"model": bert, "heads": ["3-1"], "score": "global"}).save(tmp_path)
    opened = open_predictor(str(tmp_path), {"heads": ["1-1"]})
    assert opened.describe()["config"]["heads"] == ["1-1"]
    assert opened.describe()["config"]["score"] == "global"


def test_unknown_predictor(tmp_path: Path) -> None:
    assert message("samrnk") == (
        f"predictor: 'samrnk' is not a predictor (use samrank, unikeyphrase, a folder with {PREDICTOR_FILE}, "
        "or an id on the Hugging Face hub)"
    )
    assert str(tmp_path) in message(str(tmp_path))


@pytest.mark.parametrize(
    ("contents", "part"),
    [
        ("", "not a saved predictor"),
        ("{", "not a saved predictor"),
        ("[]", "not a saved predictor"),
        ("[" * 100_000, "not a saved predictor"),
        ("null", "not a saved predictor"),
        ('{"kind": "samrank"}', "not a saved predictor"),
        ('{"config": {}}', "not a saved predictor"),
        ('{"kind": "samrank", "config": null}', "not a saved predictor"),
        ('{"kind": "samrank", "config": ["heads"]}', "not a saved predictor"),
        ('{"kind": "textrank", "config": {}}', "unknown kind of predictor 'textrank' (known: samrank"),
        ('{"kind": "samrank", "config": {"head": ["1-1"]}}', "unknown field head"),
        ('{"kind": "samrank", "config": {"heads": ["1"]}}', "like 4-12"),
        ("\udcff", "not a saved predictor"),  # not UTF-8
    ],
)
def test_broken_saved_predictor(contents: str, part: str, tmp_path: Path) -> None:
    file = tmp_path / PREDICTOR_FILE
    file.write_bytes(contents.encode("utf-8", "surrogateescape"))
    line = message(str(tmp_path))
    assert line.startswith(str(file))
    assert part in line


@pytest.mark.parametrize(("heads", "head"), [(["4-1"], "4-1"), (["1-1", "1-5"], "1-5")])
def test_head_that_does_not_exist(heads: list[str], head: str, bert: str) -> None:
    assert message("samrank", {"model": bert, "heads": heads}) == (
        f"heads: the model has no head {head} (it has 3 layers of 4 heads: choose from 1-1 to 3-4)"
    )


@pytest.mark.parametrize("save", [save_t5, save_bart])
def test_encoder_decoder(save: Callable[[Path], str], bert: str, tmp_path: Path) -> None:
    assert "is an encoder-decoder" in message("samrank", {"model": save(tmp_path), "heads": ["1-1"]})


@pytest.mark.parametrize("kind", ["mobilebert", "gpt_oss", "longformer"])
def test_model_whose_attention_cannot_be_read(kind: str, bert: str, tmp_path: Path) -> None:
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    line = message("samrank", {"model": str(tmp_path), "heads": ["1-1"]})
    assert f"cannot read the attention of {kind} models" in line
    assert "BERT, RoBERTa, MPNet, DeBERTa, GPT-2 or Llama" in line


def test_unknown_model(bert: str, tmp_path: Path) -> None:
    assert f"cannot load model '{tmp_path / 'absent'}'" in message("samrank", {"model": str(tmp_path / "absent")})
    assert f"cannot load model '{tmp_path}'" in message("samrank", {"model": str(tmp_path)})


def test_weights_that_are_a_pickle(bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in message("samrank", {"model": str(folder), "heads": ["1-1"]})


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": "x"},
        {"hidden_act": 3},
        {"num_hidden_layers": None},
        {"dtype": "x"},
        {"model_type": []},
        {"quantization_config": 3},
        {"vocab_size": 10**15},
        {"hidden_size": 10**9},
    ],
)
def test_wrong_values_in_the_configuration_of_a_model(values: dict[str, Any], bert: str, tmp_path: Path) -> None:
    file = copy_of(bert, tmp_path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    line = message("samrank", {"model": str(file.parent), "heads": ["1-1"]})
    assert line.startswith(f"model: cannot load model '{file.parent}': ")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("contents", ["null", "3", "[" * 100_000, '{"a":' * 50_000])
def test_files_of_a_model_that_are_no_object(name: str, contents: str, bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / name).write_text(contents)
    line = message("samrank", {"model": str(folder), "heads": ["1-1"]})
    assert line.startswith(f"model: cannot load model '{folder}': ")


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float64])
def test_weights_of_other_types_are_converted(dtype: torch.dtype, bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    weights = {name: weight.to(dtype) for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    [found] = open_predictor("samrank", {"model": str(folder), "heads": ["1-1"]}).predict([DOCUMENTS[0]])
    assert isinstance(found, list)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_truncated_file(file: str, share: float, bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: int(share * len(whole))])
    line = message("samrank", {"model": str(folder), "heads": ["1-1"]})
    assert line.startswith(f"model: cannot load model '{folder}': ")


def test_weights_of_another_size(bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    architecture = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**architecture, "hidden_size": 64}))
    assert "cannot load model" in message("samrank", {"model": str(folder), "heads": ["1-1"]})


def test_model_without_a_tokenizer(bert: str, tmp_path: Path) -> None:
    folder = copy_of(bert, tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "tokenizer" in message("samrank", {"model": str(folder), "heads": ["1-1"]})


def test_file_instead_of_a_folder(bert: str) -> None:
    assert "cannot load model" in message("samrank", {"model": str(Path(bert) / "config.json"), "heads": ["1-1"]})


def test_wrong_device(bert: str) -> None:
    assert message("samrank", {"model": bert, "heads": ["1-1"], "device": "tpus"}).startswith(
        "device: 'tpus' is not a device"
    )


def test_pinned_configuration_names_the_tagger(bert: str) -> None:
    tagger = load_tagger("auto").name
    for given in ({"heads": ["1-1"]}, {"tagger": "auto"}, {"tagger": tagger}):
        settings = SAMRankConfig(**{**given, "tagger": tagger})  # type: ignore[arg-type]
        assert settings.pinned_dtype != "auto"
        assert pin_config("samrank", given) == {**settings.model_dump(mode="json"), "dtype": settings.pinned_dtype}


def test_pinned_configuration_of_a_saved_predictor(bert: str, tmp_path: Path) -> None:
    open_predictor("samrank", {"model": bert, "heads": ["1-1"], "tagger": "auto"}).save(tmp_path)
    pinned = pin_config(str(tmp_path), {})
    assert (pinned["model"], pinned["heads"], pinned["tagger"]) == (bert, ["1-1"], load_tagger("auto").name)
    with pytest.raises(UserError, match="is not a predictor"):
        pin_config(str(tmp_path / "absent"), {})


def test_predictors_of_other_types_open_too(bert: str, tmp_path: Path) -> None:
    open_predictor("samrank", {"model": save_gpt2(tmp_path / "gpt2").folder, "heads": ["2-2"]}).save(tmp_path / "saved")
    assert len(open_predictor(str(tmp_path / "saved")).predict(DOCUMENTS)) == len(DOCUMENTS)


def test_method_that_must_be_trained_first() -> None:
    assert message("ramkg") == (
        f"predictor: 'ramkg' must be trained first (use samrank, unikeyphrase, a folder with {PREDICTOR_FILE}, "
        "or an id on the Hugging Face hub)"
    )


def test_trained_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / PREDICTOR_FILE).write_text('{"kind": "unikeyphrase", "config": {}}', encoding="utf-8")
    assert message(str(tmp_path)).startswith(f"{tmp_path / 'model.safetensors'}: the weights cannot be read: No such")


class Command(MethodSections):
    """Settings with a section for each kind, like those of a job."""

    top: int = 5


def test_section_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / PREDICTOR_FILE).write_text('{"kind": "unikeyphrase", "config": {}}', encoding="utf-8")
    assert section_of("samrank", Command(top=3)) == {}
    assert section_of("samrank", Command(samrank=SAMRankConfig(heads=("1-1",)))) == {"heads": ["1-1"]}
    options = UniKeyphraseOptions(decode=DecodeConfig(beams=2))
    assert section_of(str(tmp_path), Command(unikeyphrase=options)) == {"decode": {"beams": 2}}


def test_section_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / PREDICTOR_FILE).write_text('{"kind": "unikeyphrase", "config": {}}', encoding="utf-8")
    for name, command, section, kind in (
        (str(tmp_path), Command(samrank=SAMRankConfig(tagger="nltk")), "samrank.tagger", "unikeyphrase"),
        ("samrank", Command(unikeyphrase=UniKeyphraseOptions(device="cpu")), "unikeyphrase.device", "samrank"),
    ):
        with pytest.raises(UserError) as caught:
            section_of(name, command)
        assert section_of(name, command, others=["samrank", str(tmp_path)]) == {}
        assert str(caught.value).startswith(f"{section} is set, but the predictor {name!r} is of the kind {kind} (")


def test_sections_are_set_field_by_field(tmp_path: Path) -> None:
    saved = {"batch_tokens": 7, "decode": {"beams": 4, "outside_bias": 1.5}}
    (tmp_path / PREDICTOR_FILE).write_text(json.dumps({"kind": "unikeyphrase", "config": saved}), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    pinned = pin_config(str(tmp_path), {"decode": {"beams": 2}})
    assert pinned["decode"] == DecodeConfig(beams=2, outside_bias=1.5).model_dump()
    assert (pinned["model"], pinned["batch_tokens"]) == (str(tmp_path), 7)
    assert pinned["weights"] == hashlib.sha256(b"weights").hexdigest()[:16]
