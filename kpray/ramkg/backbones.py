"""Small random models for the planted corpus: an encoder of BERT type and a generator of mBART type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpray.corpus.planted import ENGLISH, INVENTED, PlantedFiles
from kpray.corpus.records import Reject, read_records
from kpray.pretrained import save_model
from kpray.ramkg.codemix import CTX, ENKPS, SEP

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
_MARKS = ("[unused1]", "[unused2]")  # the retriever's marks before the title and before the rest
_MBART = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
_HEADS = 4  # attention heads
_FEED_FORWARD = 256  # size of the inner layer of the feed-forward networks
_GAIN = 8  # weight of the mean over the text's words, relative to the token itself
_LENGTH = 3.4  # length of a text's vector: inner products are between -11 and 11
_GENERATOR_STD = 0.1  # standard deviation of the word vectors, which input and output share
_DELIMITER = ";"  # the retriever's delimiter between keyphrases


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a random model.

    Attributes:
        layers: number of layers of the encoder, and of the decoder if there is one.
        hidden: hidden size, a multiple of `_HEADS`.
        positions: maximum number of tokens in a text.
        dropout: dropout of hidden states and of attention.
    """

    layers: int
    hidden: int
    positions: int = 128
    dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class BackboneSizes:
    """Sizes of the encoder and of the generator."""

    encoder: Size = Size(layers=1, hidden=128, dropout=0.0)
    generator: Size = Size(layers=2, hidden=128)


def write_backbones(files: PlantedFiles, folder: Path, sizes: BackboneSizes, seed: int) -> tuple[Path, Path]:
    """Write random models whose vocabulary is all words of a planted corpus, except its dev and test documents.

    Args:
        files: the corpus.
        folder: output folder; its subfolders `encoder` and `generator` can be loaded by transformers.
        sizes: sizes of the models.
        seed: random seed of the weights.

    Returns:
        The folders of the encoder and of the generator.
    """
    words = _read_words([files.english, files.parallel, files.passages])
    encoder, generator = folder / "encoder", folder / "generator"
    _write_encoder(words, encoder, sizes.encoder, seed)
    _write_generator(words, generator, sizes.generator, seed)
    return encoder, generator


def _read_words(files: Sequence[Path]) -> list[str]:
    """Words of all texts and keyphrases, as the tokenizers split them, in alphabetical order."""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, splitter = BertNormalizer(), BertPreTokenizer()
    words = {_DELIMITER}
    for record in read_records([str(file) for file in files]):
        assert not isinstance(record, Reject), record
        for text in (record.document.text, *record.keyphrases):
            words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return sorted(words)


def _make_tokenizer(
    words: Sequence[str], named: dict[str, str], others: Sequence[str], template: str
) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary is the special tokens (`named` and `others`) and the words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AddedToken, PreTrainedTokenizerFast

    special = [*named.values(), *others]
    ids = {token: id for id, token in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=named["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    around = [(token, ids[token]) for token in template.split() if token in ids]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=around)
    # single_word: the token of English, "en", is also an ending in the invented language.
    more = [AddedToken(token, special=True, normalized=False, single_word=True) for token in others]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=more, **named)


def _write_encoder(words: Sequence[str], folder: Path, size: Size, seed: int) -> None:
    import torch
    from torch import nn
    from transformers import BertConfig, BertModel

    tokenizer = _make_tokenizer(words, _BERT, _MARKS, "[CLS] $A [SEP]")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=_HEADS,
        intermediate_size=_FEED_FORWARD,
        max_position_embeddings=size.positions,
        hidden_dropout_prob=size.dropout,
        attention_probs_dropout_prob=size.dropout,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = BertModel(config)
    # With random layers, training on a few hundred pairs would only memorize these pairs. Therefore each token's output
    # is initially dominated by the mean of the text's word vectors and scaled to a fixed length.
    layers = model.encoder.layer
    zeroed = [model.embeddings.position_embeddings, model.embeddings.token_type_embeddings]
    zeroed += [branch.dense for layer in layers for branch in (layer.attention.output, layer.output)]
    for module in zeroed:
        nn.init.zeros_(module.weight)
    nn.init.eye_(layers[0].attention.self.value.weight)
    nn.init.eye_(layers[0].attention.output.dense.weight).data *= _GAIN
    nn.init.constant_(layers[-1].output.LayerNorm.weight, _LENGTH / size.hidden**0.5)
    save_model(model, folder)
    tokenizer.save_pretrained(folder)


def _write_generator(words: Sequence[str], folder: Path, size: Size, seed: int) -> None:
    import torch
    from torch import nn
    from transformers import MBartConfig, MBartForConditionalGeneration

    # As in mBART, the end token and the language token follow the text.
    tokenizer = _make_tokenizer(words, _MBART, (ENGLISH, INVENTED, ENKPS, CTX, SEP), f"$A </s> {ENGLISH}")
    config = MBartConfig(
        vocab_size=len(tokenizer),
        d_model=size.hidden,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=_HEADS,
        decoder_attention_heads=_HEADS,
        encoder_ffn_dim=_FEED_FORWARD,
        decoder_ffn_dim=_FEED_FORWARD,
        max_position_embeddings=size.positions,
        dropout=size.dropout,
        attention_dropout=size.dropout,
        scale_embedding=True,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")},
        forced_eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = MBartForConditionalGeneration(config)
        embeddings = model.get_input_embeddings().weight
        nn.init.normal_(embeddings, std=_GENERATOR_STD)
        nn.init.zeros_(embeddings[config.pad_token_id])
    # Pre-trained mBART can copy words from its input; a random model cannot learn this from a few hundred documents.
    # Therefore cross-attention initially passes on the tokens that it attends to.
    for layer in model.get_decoder().layers:
        for projection in (layer.encoder_attn.v_proj, layer.encoder_attn.out_proj):
            nn.init.eye_(projection.weight)
    save_model(model, folder)
    tokenizer.save_pretrained(folder)
