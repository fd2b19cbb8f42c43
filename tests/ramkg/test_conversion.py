"""Conversion of mBART-25 as it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from transformers import MBartForConditionalGeneration

from kpray.conversion import convert_model
from kpray.errors import UserError
from kpray.pretrained import load_tokenizer
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import GenerateConfig
from kpray.ramkg.generator import Generator, load_model, open_generator
from tests.published import publish
from tests.ramkg.tiny_generator import RECORDS, make_config

SENTENCEPIECE = "sentencepiece.bpe.model"
TEXTS = [
    "graph theory",
    "deep ﬁne  ｎｅｔｗｏｒｋｓ",
    "les réseaux profonds",
    " 神经\u00a0网络 ",
    "½ of it\tand\nthat",
    "신경망",
]


@pytest.fixture
def original(seq2seq: dict[str, str]) -> Any:
    return MBartForConditionalGeneration.from_pretrained(seq2seq["mbart25"]).eval()


@pytest.fixture
def published(seq2seq: dict[str, str], original: Any, tmp_path: Path) -> Path:
    """The model in the layout of mbart-large-cc25: all weights, also those that are copies of others."""
    config = json.loads((Path(seq2seq["mbart25"]) / "config.json").read_text())
    weights = {name: weight.clone() for name, weight in original.state_dict().items()}
    folder = publish(tmp_path / "mbart", weights, config, None)
    (folder / SENTENCEPIECE).write_bytes((Path(seq2seq["mbart25"]) / SENTENCEPIECE).read_bytes())
    return folder


def test_mbart_is_a_generator_with_equal_outputs(published: Path, original: Any, tmp_path: Path) -> None:
    assert convert_model(published, tmp_path / "converted") == "mBART, 25 languages"
    mixer = load_mixer(make_config(str(tmp_path / "converted")))
    model = load_model(mixer)
    sources = mixer.sources(
        [record.document.text for record in RECORDS],
        [mixer.language(record.document.lang) for record in RECORDS],
        [[] for _ in RECORDS],
    )
    before = original.get_input_embeddings().num_embeddings
    for source in sources:
        assert not isinstance(source, str)
        ids = torch.tensor(source)[None]
        ids = ids[ids < before][None]  # without kpray's new tokens
        with torch.no_grad():
            wanted = original(input_ids=ids, decoder_input_ids=ids).logits
            found = model(input_ids=ids, decoder_input_ids=ids).logits[..., :before]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    generator = Generator(model, mixer, GenerateConfig())
    generator.save(tmp_path / "generator")
    langs = [record.document.lang for record in RECORDS]
    phrases = generator.generate(sources, langs)  # type: ignore[arg-type]
    opened = open_generator(str(tmp_path / "generator"), device="cpu")
    assert opened.generate(sources, langs) == phrases  # type: ignore[arg-type]


def test_tokenizer_agrees_with_sentencepiece(published: Path, tmp_path: Path) -> None:
    convert_model(published, tmp_path / "converted")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(published / SENTENCEPIECE))
    tokenizer = load_tokenizer(str(tmp_path / "converted"))
    for text in TEXTS:
        # Fairseq has <s>, <pad>, </s> and <unk> before the pieces, SentencePiece <unk>, <s> and </s>.
        wanted = [id + 1 if id else 3 for id in pieces.encode(text)]
        assert tokenizer(text, add_special_tokens=False).input_ids == wanted, text
        assert tokenizer.decode(wanted) == pieces.decode(pieces.encode(text)).replace(" ⁇ ", "<unk>"), text
    german = load_mixer(make_config(str(tmp_path / "converted"))).frame(tokenizer.convert_tokens_to_ids("de_DE"))
    assert tokenizer.convert_ids_to_tokens([*german.prefix, *german.suffix]) == ["</s>", "de_DE"]
    assert tokenizer.convert_ids_to_tokens(german.start) == ["de_DE"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"vocab_size": 40}, f"{SENTENCEPIECE}: gives "),
        ({"d_model": 64}, "pytorch_model.bin: "),
        ({"encoder_layers": 2}, "pytorch_model.bin: lacks 16 weights, such as model.encoder.layers.1.fc1.bias"),
    ],
)
def test_files_of_other_models_are_refused(published: Path, tmp_path: Path, change: dict[str, int], error: str) -> None:
    config = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError) as caught:
        convert_model(published, tmp_path / "converted")
    assert str(caught.value).startswith(f"{published}/{error}")
    assert not (tmp_path / "converted").exists()


def test_what_is_no_sentencepiece_model_is_refused(published: Path, tmp_path: Path) -> None:
    (published / SENTENCEPIECE).write_bytes(b"no model")
    with pytest.raises(UserError, match=r"sentencepiece.bpe.model: is not a SentencePiece model .download it again.$"):
        convert_model(published, tmp_path / "converted")
    (published / SENTENCEPIECE).unlink()
    with pytest.raises(UserError, match=r"sentencepiece.bpe.model: there is no such file"):
        convert_model(published, tmp_path / "converted")
    with pytest.raises(UserError, match=r"^case: the tokenizer of mBART is always cased .leave it out.$"):
        convert_model(published, tmp_path / "converted", "uncased")
