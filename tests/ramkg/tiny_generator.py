"""Small random sequence-to-sequence models with real tokenizers, and documents in several languages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from kpray.corpus.store import PassageStore, build_store
from kpray.document import Document, Record
from kpray.ramkg.config import GenerateConfig, GeneratorConfig
from kpray.ramkg.generator_task import GeneratorTask

KINDS = ("mbart25", "mbart50", "bart", "t5")

PASSAGES = [  # id, text and keyphrases of the English passages
    ("e1", "graphs describe networks", ["graph theory", "networks", "Graph theory"]),
    ("e2", "deep models learn", ["neural networks", "deep learning"]),
    ("e3", "translation of words", ["machine translation", "corpora"]),
    ("e4", "nothing is said of it", []),
]
RECORDS = [
    Record(
        Document("1", "Graphen beschreiben Netze", lang="de"), ("Graphentheorie", "Netze"), None, "a.jsonl", 1, ("e1",)
    ),
    Record(
        Document("2", "les réseaux profonds apprennent", title="réseaux", lang="fr"),
        ("réseaux profonds", "apprentissage", "graphes"),
        None,
        "a.jsonl",
        2,
        ("e2", "e1"),
    ),
    Record(Document("3", "翻译 词语", lang="zh_CN"), ("机器翻译",), None, "a.jsonl", 3, ("e3",)),
    Record(Document("4", "번역 단어", lang="ko"), ("기계 번역", "말뭉치"), None, "a.jsonl", 4, ("e3", "e4")),
]
# Each is one piece of mBART's tokenizers, so that tests can state the expected tokens.
WORDS = """
    tiefe Netze lernen les réseaux profonds el aprendizaje profundo le reti neurali 神经 网络 신경망 학습
    graph theory neural networks
""".split()


def texts() -> list[str]:
    """Texts that the tokenizers are trained on."""
    texts = [text for record in RECORDS for text in (record.document.text, *record.keyphrases)]
    return [*texts, *(text for _, passage, phrases in PASSAGES for text in (passage, *phrases)), *WORDS]


def save_backbone(folder: Path, kind: str, **config: Any) -> str:
    """Write a model of some ten thousand random weights, and its tokenizer."""
    tokenizer = save_mbart_tokenizer(folder, kind) if kind.startswith("mbart") else save_plain_tokenizer(folder, kind)
    tokens = len(tokenizer)
    torch.manual_seed(7)
    if kind == "t5":
        sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
        # The vocabulary of the T5 model is larger than that of its tokenizer.
        T5ForConditionalGeneration(
            T5Config(vocab_size=tokens + 8, **{**sizes, "decoder_start_token_id": 0, **config})
        ).save_pretrained(folder)
        return str(folder)
    sizes = {
        "d_model": 32,
        **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "init_std": 0.3,  # makes the distribution far from uniform, so that beams differ
    }
    if kind == "bart":
        BartForConditionalGeneration(BartConfig(vocab_size=tokens, **{**sizes, **config})).save_pretrained(folder)
    else:
        MBartForConditionalGeneration(MBartConfig(vocab_size=tokens, **{**sizes, **config})).save_pretrained(folder)
    return str(folder)


def save_mbart_tokenizer(folder: Path, kind: str) -> Any:
    """The tokenizer of mBART-25 or mBART-50 with a new SentencePiece model."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts() * 8),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=1000,
        hard_vocab_limit=False,
        character_coverage=1.0,
        user_defined_symbols=[f"▁{word}" for word in WORDS],
        minloglevel=3,
    )
    factory = MBartTokenizer if kind == "mbart25" else MBart50Tokenizer
    tokenizer = factory.from_pretrained(folder, src_lang="en_XX", tgt_lang="en_XX")
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_plain_tokenizer(folder: Path, kind: str, languages: Sequence[str] = ()) -> Any:
    """A tokenizer as in BART or T5; the template of T5 has the first language after the text."""
    special = ["<s>", "<pad>", "</s>", "<unk>"] if kind == "bart" else ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "t5")
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, *languages], show_progress=False)
    tokenizer.train_from_iterator([f" {text}" for text in texts()], trainer)
    around = ["<s>", "$A", "</s>"] if kind == "bart" else ["$A", "</s>", *languages[:1]]
    used = [(token, tokenizer.token_to_id(token)) for token in around if token != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=" ".join(around), special_tokens=used)
    named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **named, **({"bos_token": "<s>"} if kind == "bart" else {})
    )
    fast.save_pretrained(folder)
    return fast


def load_tokenizer(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def save_english(folder: Path) -> PassageStore:
    """The store of `PASSAGES`."""
    file = folder / "english.jsonl"
    lines = [json.dumps({"id": id, "abstract": text, "keywords": phrases}) for id, text, phrases in PASSAGES]
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return build_store([str(file)], folder / "english")


def make_config(backbone: str, **more: Any) -> GeneratorConfig:
    limits = {"source_tokens": 40, "keyphrase_tokens": 16, "target_tokens": 20, "passages": 2}
    return GeneratorConfig(backbone=backbone, **{**limits, **more})


def train(task: GeneratorTask, steps: int, records: Sequence[Record] = RECORDS) -> Any:
    """The task's model after training on records: after 60 steps it has memorized `RECORDS`."""
    torch.manual_seed(1)
    model = task.build().train()
    rows: list[Any] = task.tokenize(records)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(steps):
        loss = task.losses(model, task.collate(rows, [0] * len(rows)), step / steps)["loss"]
        optimizer.zero_grad()
        (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def make_task(backbone: str, english: Path | None = None, beams: int = 1, **more: Any) -> GeneratorTask:
    langs = more.pop("langs", None)
    return GeneratorTask(make_config(backbone, **more), GenerateConfig(beams=beams), english, langs=langs)
