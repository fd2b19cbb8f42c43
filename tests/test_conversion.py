"""Conversion of UniLM and BERT as they are published, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForPreTraining, BertModel

from kpray.conversion import Case, convert_model
from kpray.errors import UserError
from kpray.pretrained import load_pretrained, load_tokenizer
from kpray.unikeyphrase.backbone import unilm_mask
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.inputs import Encoder
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from tests.commands import RunHere
from tests.published import CASED, UNCASED, UNILM, publish, published_names, unilm


def published(folder: Path, *, zip: bool = True, vocabulary: list[str] = CASED, **config: Any) -> Path:
    """A random UniLM in the layout of unilm1-base-cased."""
    given = {**UNILM, "vocab_size": len(vocabulary), **config}
    sizes = {name: value for name, value in given.items() if name != "layer_norm_epsilon"}
    return publish(folder, published_names(unilm(**sizes).state_dict()), given, vocabulary, zip=zip)


def backbone(folder: Path) -> UniKeyphraseModel:
    return from_backbone(ModelConfig(backbone=str(folder), relation_layers=0, source_tokens=30, target_tokens=10))


def refusal(folder: Path, output: Path, case: Case | None = "cased") -> str:
    """The error of a conversion, which leaves nothing behind."""
    before = sorted(output.parent.iterdir())
    with pytest.raises(UserError) as caught:
        convert_model(folder, output, case)
    assert sorted(output.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("zip", [True, False])
def test_unilm_is_a_backbone_with_equal_outputs(tmp_path: Path, zip: bool) -> None:
    convert_model(published(tmp_path / "unilm", zip=zip), tmp_path / "converted", "cased")
    model, original = backbone(tmp_path / "converted"), unilm()
    assert (model.config.source_segment, model.config.target_segment) == (4, 5)
    assert not [name for name in model.new_parameters if not name.startswith("extraction.")]
    ids = torch.randint(5, len(CASED), (2, 12), generator=torch.Generator().manual_seed(1))
    sources, lengths = torch.tensor([7, 9]), torch.tensor([12, 12])
    segments = torch.where(torch.arange(12) < sources[:, None], 4, 5)
    additive = torch.zeros(2, 1, 12, 12).masked_fill(~unilm_mask(sources, lengths, 12), torch.finfo(torch.float32).min)
    with torch.no_grad():
        wanted = original(ids, additive, segments).prediction_logits.flatten(0, 1)
        found = model(ids, sources, lengths, torch.arange(24)).token_logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_all_weights_and_the_configuration_are_kept(tmp_path: Path) -> None:
    convert_model(published(tmp_path / "unilm"), tmp_path / "converted", "cased")
    original = unilm().state_dict()
    weights = load_file(tmp_path / "converted/model.safetensors")
    copies = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert weights.keys() == original.keys() - copies
    assert all(torch.equal(weight, original[name]) for name, weight in weights.items())
    config = json.loads((tmp_path / "converted/config.json").read_text())
    expected = {
        **{name: value for name, value in UNILM.items() if name != "layer_norm_epsilon"},
        **{"model_type": "bert", "architectures": ["BertForPreTraining"], "layer_norm_eps": 1e-5},
        **{"source_type_id": 4, "target_type_id": 5, "pad_token_id": 0},
    }
    assert {name: config[name] for name in expected} == expected
    loaded = load_pretrained(AutoModelForPreTraining, str(tmp_path / "converted"), use_safetensors=True)
    assert all(torch.equal(weight, original[name]) for name, weight in loaded.state_dict().items())


def test_segments_that_the_configuration_names(tmp_path: Path) -> None:
    folder = published(tmp_path / "unilm", source_type_id=0, target_type_id=1)
    about = convert_model(folder, tmp_path / "converted", "cased")
    assert about == "UniLM, cased, segments 0 (source) and 1 (target)"
    model = backbone(tmp_path / "converted")
    assert (model.config.source_segment, model.config.target_segment) == (0, 1)
    model.save_pretrained(tmp_path / "trained")
    trained = backbone(tmp_path / "trained")
    assert (trained.config.source_segment, trained.config.target_segment) == (0, 1)


def test_segments_that_do_not_exist(tmp_path: Path) -> None:
    folder = published(tmp_path / "unilm", source_type_id=0, target_type_id=6)
    assert refusal(folder, tmp_path / "converted") == (
        "config.json: does not describe a model: target_type_id is 6, and there are 6 segment types (download it again)"
    )
    convert_model(published(tmp_path / "good"), tmp_path / "converted", "cased")
    config = tmp_path / "converted/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "target_type_id": 6}))
    with pytest.raises(UserError, match=r"has 6 segment types, and its config.json names others .correct source_type"):
        backbone(tmp_path / "converted")


@pytest.mark.parametrize(
    ("given", "settings", "vocabulary", "tokens"),
    [
        ("cased", None, CASED, ["Graph", "graphs", "[UNK]"]),
        (None, {"do_lower_case": False}, CASED, ["Graph", "graphs", "[UNK]"]),
        ("uncased", None, UNCASED, ["graph", "graph", "##s", "eclair", "##es"]),
        (None, {"do_lower_case": True}, UNCASED, ["graph", "graph", "##s", "eclair", "##es"]),
        (None, {"do_lower_case": True, "strip_accents": False}, UNCASED, ["graph", "graph", "##s", "[UNK]"]),
        ("uncased", {"do_lower_case": False}, UNCASED, ["graph", "graph", "##s", "eclair", "##es"]),
    ],
)
def test_tokenizer(
    tmp_path: Path, given: Case | None, settings: dict[str, bool] | None, vocabulary: list[str], tokens: list[str]
) -> None:
    folder = published(tmp_path / "unilm", vocabulary=vocabulary)
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    convert_model(folder, tmp_path / "converted", given)
    tokenizer = load_tokenizer(str(tmp_path / "converted"))
    assert tokenizer.tokenize("Graph graphs éclaires") == tokens
    assert tokenizer.get_vocab() == {token: index for index, token in enumerate(vocabulary)}
    source = Encoder(str(tmp_path / "converted")).encode_source("Graph graphs éclaires", 20)
    assert tokenizer.convert_ids_to_tokens(source.ids) == ["[CLS]", *tokens, "[SEP]"]


def test_case_is_never_guessed(tmp_path: Path) -> None:
    cased, uncased = published(tmp_path / "a"), published(tmp_path / "b", vocabulary=UNCASED)
    output = tmp_path / "converted"
    assert refusal(cased, output, None) == (
        "vocab.txt: the folder does not say whether the model is cased; 4 of its 11 words have capital letters "
        "(look at where the model was published, and add --case cased, most likely)"
    )
    assert refusal(uncased, output, None).endswith("and add --case uncased, most likely)")
    wrong = "(use the vocabulary of the same model, or the other --case)"
    assert (
        refusal(cased, output, "uncased")
        == f"vocab.txt: is not uncased: 4 of its 11 words have capital letters {wrong}"
    )
    assert refusal(uncased, output, "cased").startswith("vocab.txt: is not cased: 0 of its 11 words have")


def test_a_token_that_occurs_twice_leaves_no_free_id(tmp_path: Path) -> None:
    convert_model(published(tmp_path / "unilm", vocabulary=[*CASED, "of"]), tmp_path / "converted", "cased")
    tokenizer = load_tokenizer(str(tmp_path / "converted"))
    assert len(tokenizer) == len(CASED) + 1
    assert tokenizer.convert_tokens_to_ids("of") == len(CASED)  # the later one, as in BERT
    assert tokenizer.add_tokens(["new"]) == 1
    assert tokenizer.convert_tokens_to_ids("new") == len(CASED) + 1


@pytest.mark.parametrize(
    ("without", "architecture", "about"),
    [
        (["bert.pooler.", "cls.seq_relationship."], "BertForMaskedLM", "BERT, cased"),
        (["cls."], "BertModel", "BERT, cased, without a language-model head"),
    ],
)
def test_parts_that_were_not_published(tmp_path: Path, without: list[str], architecture: str, about: str) -> None:
    config = {**UNILM, "model_type": "bert", "type_vocab_size": 2}
    weights = published_names(unilm(type_vocab_size=2).state_dict())
    kept = {name: weight for name, weight in weights.items() if not name.startswith(tuple(without))}
    assert convert_model(publish(tmp_path / "bert", kept, config, CASED), tmp_path / "converted", "cased") == about
    assert json.loads((tmp_path / "converted/config.json").read_text())["architectures"] == [architecture]
    model = backbone(tmp_path / "converted")
    assert (model.config.source_segment, model.config.target_segment) == (0, 1)
    assert any(name.startswith("cls.") for name in model.new_parameters) == ("cls." in without)
    loaded = load_pretrained(BertModel, str(tmp_path / "converted"), use_safetensors=True).state_dict()
    assert torch.equal(loaded["embeddings.word_embeddings.weight"], weights["bert.embeddings.word_embeddings.weight"])


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("zip", [True, False])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, zip: bool, kpray: RunHere) -> None:
    mark, folder, output = tmp_path / "ran", published(tmp_path / "unilm"), tmp_path / "converted"
    weights: dict[str, Any] = {**published_names(unilm().state_dict()), "more": Malicious(mark)}
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zip)
    done = kpray("convert", folder, "--output", output, "--case", "cased")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"kpray: error: {folder}/pytorch_model.bin: has code (io.open), which kpray does not run "
        "(use a file that has only weights, from a publisher whom you trust)\n"
    )
    assert not mark.exists()
    assert not output.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)["more"].close()
    assert mark.exists()  # it is code


def changed(weights: dict[str, Tensor], **more: Tensor | None) -> dict[str, Tensor]:
    """Weights of which some are replaced or, by None, left out; `__` is a dot in their names."""
    names = {name.replace("__", "."): weight for name, weight in more.items()}
    return {name: weight for name, weight in {**weights, **names}.items() if weight is not None}


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (
            {"bert__rel_pos_bias__weight": torch.ones(2)},
            "has 1 weights that a BertForPreTraining does not have, such as bert.rel_pos_bias.weight",
        ),
        (
            {"bert__embeddings__token_type_embeddings__weight": torch.ones(2, 32)},
            "bert.embeddings.token_type_embeddings.weight has the shape [2, 32], and config.json says [6, 32]",
        ),
        (
            {"bert__encoder__layer__1__output__dense__bias": None},
            "lacks 1 weights, such as bert.encoder.layer.1.output.dense.bias",
        ),
        ({"cls__predictions__transform__dense__bias": None}, "lacks 1 weights, such as cls.predictions.transform"),
        (
            {"cls__predictions__decoder__weight": torch.ones(len(CASED), 32)},
            "cls.predictions.decoder.weight differs from bert.embeddings.word_embeddings.weight, which must be equal",
        ),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, more: dict[str, Tensor | None], error: str) -> None:
    weights = changed(published_names(unilm().state_dict()), **more)
    found = refusal(publish(tmp_path / "unilm", weights, UNILM, CASED), tmp_path / "converted")
    assert found.startswith(f"pytorch_model.bin: {error}")
    assert found.endswith(" (use pytorch_model.bin and config.json of the same model)")


@pytest.mark.parametrize(
    ("contents", "error"),
    [
        (b"", "cannot be read: it ends too early"),
        (b"no pickle", "is not a file of torch.save"),
        ([torch.ones(1)], "is not a dictionary of weights"),
        ({}, "is not a dictionary of weights"),
        ({"model": {"a": torch.ones(1)}}, "the entry 'model' is not a weight"),
        ({"a": torch.ones(2, device="meta")}, "the weight a is not an ordinary tensor"),
        ({"a": torch.ones(2).to_sparse()}, "the weight a is not an ordinary tensor"),
    ],
)
def test_files_that_have_no_weights(tmp_path: Path, contents: object, error: str) -> None:
    folder = published(tmp_path / "unilm")
    if isinstance(contents, bytes):
        (folder / "pytorch_model.bin").write_bytes(contents)
    else:
        torch.save(contents, folder / "pytorch_model.bin")
    assert refusal(folder, tmp_path / "converted").startswith(f"pytorch_model.bin: {error} (")


def test_a_small_file_cannot_become_a_large_one(tmp_path: Path) -> None:
    folder = published(tmp_path / "unilm")
    weights = published_names(unilm().state_dict())
    repeated = {name: torch.ones(1).expand(weight.shape) for name, weight in weights.items()}
    torch.save(repeated, folder / "pytorch_model.bin")
    assert (folder / "pytorch_model.bin").stat().st_size < 40_000
    assert "has weights that are larger than the file" in refusal(folder, tmp_path / "converted")
    stored = published(tmp_path / "stored") / "pytorch_model.bin"
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(folder / stored.name, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert "pytorch_model.bin: is compressed" in refusal(folder, tmp_path / "converted")


@pytest.mark.parametrize(
    ("file", "contents", "error"),
    [
        ("pytorch_model.bin", None, "pytorch_model.bin: there is no such file (give a folder with pytorch_model.bin"),
        ("config.json", None, "config.json: there is no such file"),
        ("config.json", "{", "config.json: cannot be read: "),
        ("config.json", "[]", "config.json: is not a JSON object"),
        ("config.json", "{}", "config.json: no configuration of a BERT cannot be converted"),
        ("config.json", '{"model_type": "t5"}', "config.json: a model of type t5 cannot be converted (kpray convert "),
        ("config.json", json.dumps({**UNILM, "hidden_size": "x"}), "config.json: does not describe a model: "),
        ("config.json", json.dumps({**UNILM, "hidden_act": "x"}), "config.json: does not describe a model: "),
        ("config.json", json.dumps({**UNILM, "vocab_size": 500}), "vocab.txt: has 17 tokens, and config.json says 500"),
        ("vocab.txt", None, "vocab.txt: there is no such file"),
        ("vocab.txt", "\n".join([*CASED[:-1], "a", "b"]), "vocab.txt: has 18 tokens, and config.json says 17"),
        ("vocab.txt", "\n".join(["x", *CASED[1:]]), "vocab.txt: has no token [PAD]"),
        ("tokenizer_config.json", "{", "tokenizer_config.json: cannot be read: "),
    ],
)
def test_files_that_are_missing_or_wrong(tmp_path: Path, file: str, contents: str | None, error: str) -> None:
    folder = published(tmp_path / "unilm")
    if contents is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(contents)
    assert refusal(folder, tmp_path / "converted").startswith(error)


def test_command(tmp_path: Path, kpray: RunHere) -> None:
    folder, output = published(tmp_path / "unilm"), tmp_path / "more" / "converted"
    with pytest.raises(UserError, match=r"run `kpray convert .*unilm --output DIR`, and give the folder DIR"):
        backbone(folder)
    done = kpray("convert", folder, "--output", output, "--case", "cased")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{output}: UniLM, cased, segments 4 (source) and 5 (target)\n"
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in output.iterdir()} == names
    before = {path: path.read_bytes() for path in output.iterdir()}
    again = kpray("convert", folder, "--output", output, "--case", "cased")
    assert (again.code, again.out) == (2, "")
    assert again.err == f"kpray: error: {output}: the output exists (choose another folder, or remove it)\n"
    assert {path: path.read_bytes() for path in output.iterdir()} == before
    absent = kpray("convert", tmp_path / "absent", "--output", tmp_path / "b")
    assert absent.err.startswith(f"kpray: error: {tmp_path}/absent: there is no such folder (give a folder with ")
