"""Random backbones for a planted corpus: they can be loaded, and their vocabulary covers it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from kpray.corpus.planted import PlantedConfig, PlantedFiles, write_planted
from kpray.corpus.records import Reject, read_records
from kpray.errors import UserError
from kpray.ramkg.backbones import BackboneSizes, Size, write_backbones
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig, RetrieverConfig
from kpray.ramkg.encoder import embed, open_retriever
from kpray.ramkg.generator import Generator, load_model

PLANTED = PlantedConfig(parallel=60, passages=240, dev=20, test=20, distractors=0)
SIZES = BackboneSizes(encoder=Size(layers=2, hidden=16), generator=Size(layers=1, hidden=24, positions=96))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PlantedFiles:
    return write_planted(PLANTED, tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def folders(files: PlantedFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Backbones written without the files that must not be read."""
    absent = Path("absent.jsonl")
    known = replace(files, dev=absent, test=absent, hidden=absent)
    return write_backbones(known, tmp_path_factory.mktemp("backbones") / "new", SIZES, seed=0)


def read_texts(*files: Path) -> list[str]:
    records = [record for record in read_records([str(file) for file in files]) if not isinstance(record, Reject)]
    return [text for record in records for text in (record.document.text, *record.keyphrases)]


@pytest.mark.parametrize("kind", ["encoder", "generator"])
def test_the_vocabulary_covers_the_corpus(kind: str, files: PlantedFiles, folders: tuple[Path, Path]) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(dict(zip(["encoder", "generator"], folders, strict=True))[kind])
    assert tokenizer.is_fast
    known = tokenizer(read_texts(files.english, files.parallel, files.passages), add_special_tokens=False)["input_ids"]
    assert not any(tokenizer.unk_token_id in ids for ids in known)
    assert set(range(len(tokenizer))) == {id for ids in known for id in ids} | {
        *tokenizer.added_tokens_decoder, *tokenizer.convert_tokens_to_ids([";"])
    }  # fmt: skip
    others = tokenizer(read_texts(files.dev, files.test), add_special_tokens=False)["input_ids"]
    unknown = sum(ids.count(tokenizer.unk_token_id) for ids in others)
    assert unknown / sum(map(len, others)) < 0.05
    assert tokenizer("The model; NEVERSEEN.", add_special_tokens=False)["input_ids"] == tokenizer.convert_tokens_to_ids(
        ["the", "model", ";", tokenizer.unk_token, "."]
    )


def test_the_encoder(files: PlantedFiles, folders: tuple[Path, Path]) -> None:
    model = AutoModel.from_pretrained(folders[0]).eval()
    assert (model.config.model_type, model.config.num_hidden_layers, model.config.hidden_size) == ("bert", 2, 16)
    retriever = open_retriever(str(folders[0]), RetrieverConfig(passage_tokens=128, pooling="mean"))
    assert len(retriever.texts.tokenizer) == model.config.vocab_size
    record = next(iter(read_records([str(files.english)])))
    assert not isinstance(record, Reject)
    [ids] = retriever.texts.encode_passages([record])
    tokenizer: Any = retriever.texts.tokenizer
    cls, *rest = tokenizer(record.document.text)["input_ids"]
    assert ids.tolist() == [cls, *tokenizer.convert_tokens_to_ids(["[unused1]", "[unused2]"]), *rest]
    vectors = embed(retriever.encoder, [ids])
    expected = model(torch.from_numpy(ids[None]).long()).last_hidden_state.mean(1)
    torch.testing.assert_close(torch.from_numpy(vectors), expected.detach())


def test_the_encoder_starts_as_a_bag_of_words(folders: tuple[Path, Path]) -> None:
    """The first token's vector does not depend on word order and has the fixed length."""
    model = AutoModel.from_pretrained(folders[0]).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folders[0])
    texts = ["the robust model presents star", "star presents model robust the", "the safety model presents star"]
    with torch.no_grad():
        vectors = model(**tokenizer(texts, return_tensors="pt")).last_hidden_state[:, 0]
    torch.testing.assert_close(vectors[0], vectors[1], atol=1e-5, rtol=0)
    assert (vectors[0] - vectors[2]).norm() > 0.1
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((3,), 3.4), atol=1e-3, rtol=0)


def test_the_generator(files: PlantedFiles, folders: tuple[Path, Path]) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(folders[1]).eval()
    assert (model.config.model_type, model.config.encoder_layers, model.config.decoder_layers) == ("mbart", 1, 1)
    config = GeneratorConfig(backbone=str(folders[1]), source_tokens=96, keyphrase_tokens=32, target_tokens=24)
    mixer = load_mixer(config)
    [record] = [record for record in read_records([str(files.parallel)]) if not isinstance(record, Reject)][:1]
    language = mixer.language("xx")
    [source] = mixer.sources([record.document.text], [language], [["robust model", "design"]])
    assert not isinstance(source, str)
    tokens = mixer.tokenizer.convert_ids_to_tokens(source.tolist())
    assert tokens[:6] == ["[ENKPS]", "robust", "model", "[SEP]", "design", "[CTX]"]
    assert tokens[-3:] == [".", "</s>", "xx"]
    assert "ke" in tokens
    assert mixer.frame(language).start == (language,)
    assert mixer.language("en") != language
    with pytest.raises(UserError, match="no token for the language 'fr'"):
        mixer.language("fr")
    [target] = mixer.targets([record.keyphrases])
    assert not isinstance(target, str)
    phrases = " ".join(mixer.tokenizer.convert_ids_to_tokens(target[:-1].tolist())).split(" [SEP] ")
    assert phrases == list(record.keyphrases)
    [found] = Generator(load_model(mixer), mixer, GenerateConfig(beams=2)).generate([source], ["xx"])
    assert all(0 <= score <= 1 for _, score in found)


def test_weights_depend_on_the_seed(files: PlantedFiles, folders: tuple[Path, Path], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    same, other = (write_backbones(files, tmp_path / str(seed), SIZES, seed) for seed in (0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    for first, again, others in zip(folders, same, other, strict=True):
        names = sorted(path.name for path in first.iterdir())
        assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= {*names}
        for name in names:
            assert (first / name).read_bytes() == (again / name).read_bytes(), name
        weights = [(folder / "model.safetensors").read_bytes() for folder in (first, others)]
        assert weights[0] != weights[1]
        assert (first / "tokenizer.json").read_bytes() == (others / "tokenizer.json").read_bytes()
