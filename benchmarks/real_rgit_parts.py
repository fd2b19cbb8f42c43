"""What `benchmarks/run.py real_rgit` trains on: the parts of the corpora, and a small multilingual backbone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.settings import RealBackbone, RealSplit
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.pretrained import save_model
from kpray.ramkg.codemix import CTX, ENKPS, SEP
from kpray.ramkg.languages import MBART_25
from kpray.text.words import sentence_spans

_NAMED = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
_GAP = "_"  # what is left of missing words
_GAPS, _LONGEST_GAP = 0.15, 3  # share of the words that begin a gap, and the most words of a gap
_WORDS, _CHARACTERS = 24, 40  # length of a sentence to restore, in words, or in characters if there are no spaces
_SPACES = re.compile(r"\s+")


def split_pairs(foreign: Iterable[Record], english: Iterable[Record], split: RealSplit) -> dict[str, list[Record]]:
    """Divide pairs of documents with the same id into parts.

    English documents lose their titles: many of the TALN Archives have the French one. They get new ids in random
    order, so that only `english_ids` tells which documents are translations of each other.

    Returns:
        `english`; `parallel` and `valid`, which name their translations; `test` and `passages`, which do not;
        `answers`, the documents of `passages` that have a translation, and of `test`, with its name.

    Raises:
        UserError: there are too few pairs.
    """
    random = Random(split.seed)
    targets = list(english)
    random.shuffle(targets)
    names = {record.document.id: f"en-{number:05d}" for number, record in enumerate(targets)}
    records = list(foreign)
    random.shuffle(records)
    pairs = [
        replace(record, english_ids=(names[record.document.id],)) for record in records if record.document.id in names
    ]
    held = split.given + split.valid + split.test
    if len(pairs) <= held:
        raise UserError(
            f"the files have {len(pairs):,} pairs, and {held:,} are needed for other parts than the hidden pairs",
            where="--foreign, --english",
            fix="give smaller numbers in --split",
        )
    starts = (0, split.given, split.given + split.valid, held)
    given, valid, test = (pairs[start:stop] for start, stop in pairwise(starts))
    hidden = pairs[held:]
    alone = [record for record in records if record.document.id not in names]
    return {
        "english": [
            replace(record, document=Document(names[record.document.id], record.document.body, lang="en"))
            for record in targets
        ],
        "parallel": given,
        "valid": valid,
        "test": [replace(record, english_ids=()) for record in test],
        "passages": [replace(record, english_ids=()) for record in [*hidden, *alone]],
        "answers": [*hidden, *test],
    }


def split_languages(records: Iterable[Record], seed: int) -> dict[str, list[Record]]:
    """Divide documents: of each language, a quarter is `test`, a twelfth is `valid`, and the others are `train`."""
    by_language: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_language[record.document.lang].append(record)
    parts: dict[str, list[Record]] = {"test": [], "valid": [], "train": []}
    for lang in sorted(by_language):
        members = by_language[lang]
        Random(seed).shuffle(members)
        for number, record in enumerate(members):
            parts["test" if number % 4 == 0 else "valid" if number % 12 == 1 else "train"].append(record)
    return parts


def sentence_rows(records: Iterable[Record], sentences: int, seed: int) -> Iterator[Record]:
    """Some sentences of documents with gaps. The target of each, its only keyphrase, is the sentence without gaps.

    This is the text infilling of BART (Lewis et al., ACL 2020) on single sentences.

    Args:
        records: the documents.
        sentences: maximum number of sentences of a document.
        seed: random seed of the choice of sentences and of the gaps.
    """
    random = Random(seed)
    for record in records:
        document = record.document
        spans = sentence_spans(document.body)
        for number, (start, end) in enumerate(random.sample(spans, min(sentences, len(spans)))):
            source, target = _with_gaps(_SPACES.sub(" ", document.body[start:end]), random)
            sentence = Document(f"{document.id}#{number}", source, lang=document.lang)
            yield Record(document=sentence, keyphrases=(target,))


def _with_gaps(sentence: str, random: Random) -> tuple[str, str]:
    """The beginning of a sentence with gaps, and without."""
    joint = " " if " " in sentence else ""
    words = sentence.split(" ")[:_WORDS] if joint else list(sentence[:_CHARACTERS])
    kept: list[str] = []
    index = 0
    while index < len(words):
        gap = random.random() < _GAPS
        kept.append(_GAP if gap else words[index])
        index += random.randint(1, _LONGEST_GAP) if gap else 1
    return joint.join(kept), joint.join(words)


def write_backbone(texts: Iterable[str], config: RealBackbone, positions: int, folder: Path) -> None:
    """Write a random model of the architecture of mBART with a tokenizer for some texts.

    Args:
        texts: texts for the tokenizer.
        config: sizes and random seed.
        positions: maximum number of tokens of an input.
        folder: the output folder, which transformers can load.
    """
    import torch
    from transformers import MBartConfig, MBartForConditionalGeneration

    tokenizer = _train_tokenizer(texts, config.vocabulary)
    sizes: Mapping[str, Any] = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (
            ("layers", config.layers),
            ("attention_heads", config.heads),
            ("ffn_dim", 4 * config.hidden),
        )
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Any = MBartForConditionalGeneration(
            MBartConfig(
                vocab_size=len(tokenizer),
                d_model=config.hidden,
                max_position_embeddings=positions,
                dropout=config.dropout,
                scale_embedding=True,
                forced_eos_token_id=tokenizer.eos_token_id,
                **sizes,
                **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")},
            )
        )
    save_model(model, folder)
    tokenizer.save_pretrained(folder)


def _train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Lower-case unigram pieces, as of SentencePiece, with the languages of mBART-25."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.decoders import Metaspace
    from transformers import PreTrainedTokenizerFast

    special = [*_NAMED.values(), *MBART_25, ENKPS, CTX, SEP]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token=_NAMED["unk_token"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    around = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "en_XX")]
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s> en_XX", special_tokens=around)
    more = [*MBART_25, ENKPS, CTX, SEP]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=more, **_NAMED)
