"""Speed and F1 of SAMRank in one run: the published way, kpray, the bare model, and other tools on the same texts.

Rates are documents per second of processor time of one thread, so that other load on the machine counts little; tags
are made beforehand and timed apart. The rounds of all contestants alternate, and the best of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks.samrank_published import rank_by_heads
from benchmarks.timing import time_contestants
from kpray.batches import batches_by_length
from kpray.document import Keyphrase, Record
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.pretrained import find_model, has_bfloat16, load_pretrained
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import CUTOFFS, all_heads, f1_by_head
from kpray.samrank.packed_bert import BATCH_TOKENS
from kpray.samrank.predictor import SAMRank
from kpray.samrank.prepared import PreparedDocument
from kpray.text.tagging import Tagger, load_tagger, remembering
from kpray.text.words import split_words

TOP = max(CUTOFFS)
Row = dict[str, str | int | float | None]
Ranking = list[list[str]]  # phrases of each document, best first


def benchmark(paper: SAMRankConfig, records: Sequence[Record], rounds: int) -> list[Row]:
    """Measure every contestant on the same documents.

    Args:
        paper: the paper's method with one head, on a BERT-type model.
        records: English documents with gold; those that do not fit the model in one piece are left out.
        rounds: how often each contestant is timed.

    Returns:
        One row each: documents per second, the same as a multiple of the published way over as many heads and of the
        floor, and F1 in percent. There are rows for bfloat16 if the processor has it.
    """
    torch.set_num_threads(1)
    paper = paper.model_copy(update={"dtype": "float32"})  # like the published code
    tagger = load_tagger(paper.tagger)
    seconds_of_tagging = _seconds_of_tagging(tagger, records)
    tagged_once = remembering(tagger, None)

    def build(config: SAMRankConfig) -> SAMRank:
        predictor = SAMRank(config)
        predictor.tagger = tagged_once
        return predictor

    one = build(paper)
    prepared = {record.document.id: one.prepare(record.document) for record in records}
    records = [record for record in records if len(prepared[record.document.id].segments) == 1]
    documents = [record.document for record in records]
    ready = [prepared[document.id] for document in documents]
    heads = all_heads(paper.model)
    every = build(paper.model_copy(update={"heads": heads}))
    default = build(SAMRankConfig(model=paper.model))
    for document in documents:
        default.prepare(document)  # its rule also tags titles in small letters
    eager = load_pretrained(_auto_model(), paper.model, attn_implementation="eager").eval()
    floor = _layers_below(paper)

    def published(chosen: SAMRank) -> list[Ranking]:
        return [
            rank_by_heads(eager, document.segments[0], _pieces(chosen, document), phrases, chosen.config.layer_heads)
            for document in (chosen.prepare(document) for document in documents)
            for phrases in [[phrase.lower() for phrase in document.phrases]]
        ]

    head = heads.index(paper.heads[0])
    place = np.unravel_index(head, (every.model.layers, len(heads) // every.model.layers))
    contestants: dict[str, Callable[[], Any]] = {
        "(a) published way, one head": lambda: [rankings[0] for rankings in published(one)],
        "(a) published way, all heads": lambda: [rankings[head] for rankings in published(every)],
        "(b) kpray, one head": lambda: _texts(one.predict(documents, top=TOP)),
        "(b) the same, documents prepared": lambda: _texts(
            [ranked.keyphrases for ranked in one.predict_prepared(ready, top=TOP)]
        ),
        "(c) kpray, all heads": lambda: f1_by_head(every, records)[place],
        "(d) floor: the layers below the head": lambda: floor(ready),
        f"kpray's default, {len(default.config.heads)} heads": lambda: _texts(default.predict(documents, top=TOP)),
        **_other_tools(paper, [document.text for document in documents]),
    }
    if has_bfloat16():  # other processors take many times as long
        one_half = build(paper.model_copy(update={"dtype": "bfloat16"}))
        every_half = build(paper.model_copy(update={"heads": heads, "dtype": "bfloat16"}))
        contestants |= {
            "(b) kpray, one head, bfloat16": lambda: _texts(one_half.predict(documents, top=TOP)),
            "(c) kpray, all heads, bfloat16": lambda: f1_by_head(every_half, records)[place],
        }
    seconds, results = time_contestants(contestants, rounds)
    best = {name: time_ / len(documents) for name, time_ in seconds.items()}
    rows = [_row(name, best, _f1(results[name], records)) for name in contestants]
    return [*rows, {"contestant": f"tagging alone ({tagger.name})", "documents/s": 1 / seconds_of_tagging}]


def _row(name: str, seconds: dict[str, float], f1: np.ndarray | None) -> Row:
    published = "(a) published way, all heads" if "all heads" in name else "(a) published way, one head"
    row: Row = {"contestant": name, "documents/s": 1 / seconds[name]}
    row["times (a)"] = seconds[published] / seconds[name]
    row["of the floor"] = seconds["(d) floor: the layers below the head"] / seconds[name]
    for cutoff, value in zip(CUTOFFS, f1 if f1 is not None else [None] * len(CUTOFFS), strict=True):
        row[f"F1@{cutoff}"] = None if value is None else float(value)
    return row


def _f1(result: Any, records: Sequence[Record]) -> np.ndarray | None:
    if result is None or isinstance(result, np.ndarray):
        return result
    predictions = {
        (record.document.lang, record.document.id): [Keyphrase(text, 0.0, present=True) for text in ranking]
        for record, ranking in zip(records, result, strict=True)
    }
    scores = evaluate(records, predictions, get_protocol("samrank")).scores
    return np.array([scores[f"f1@{cutoff}"].mean for cutoff in CUTOFFS])


def _texts(keyphrases: list[list[Keyphrase]]) -> Ranking:
    return [[keyphrase.text for keyphrase in ranked] for ranked in keyphrases]


def _seconds_of_tagging(tagger: Tagger, records: Sequence[Record]) -> float:
    """Seconds that the tagger needs for a document."""
    sentences = [sentence for record in records for sentence in split_words(record.document.text).by_sentence()]
    started = time.process_time()
    tagger.tag_sentences(sentences)
    return (time.process_time() - started) / len(records)


def _auto_model() -> Any:
    from transformers import AutoModel

    return AutoModel


def _pieces(predictor: SAMRank, document: PreparedDocument) -> list[str]:
    tokens = [predictor.tokenizer.id_to_token(int(token)) or "" for token in document.segments[0]]
    return [token.removeprefix("##").lower() for token in tokens]


def _layers_below(paper: SAMRankConfig) -> Callable[[Sequence[PreparedDocument]], None]:
    """The bare forward pass through the layers that the head's queries and keys rest on, in the same batches."""
    layers = paper.layer_heads[0][0]
    model = load_pretrained(_auto_model(), paper.model, num_hidden_layers=layers, attn_implementation="sdpa").eval()
    model.pooler = None

    @torch.inference_mode()
    def run(documents: Sequence[PreparedDocument]) -> None:
        segments = [segment for document in documents for segment in document.segments]
        for batch in batches_by_length([len(segment) for segment in segments], BATCH_TOKENS):
            longest = max(len(segments[index]) for index in batch)
            ids = torch.zeros(len(batch), longest, dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for row, index in enumerate(batch):
                ids[row, : len(segments[index])] = torch.from_numpy(segments[index])
                mask[row, : len(segments[index])] = 1
            model(input_ids=ids, attention_mask=None if mask.all() else mask)

    return run


def _other_tools(paper: SAMRankConfig, texts: list[str]) -> dict[str, Callable[[], Ranking]]:
    """KeyBERT with the same weights, and YAKE, with their own defaults for English; left out where not installed."""
    tools: dict[str, Callable[[], Ranking]] = {}
    if find_spec("keybert"):
        from keybert import KeyBERT
        from sentence_transformers import SentenceTransformer

        keybert = KeyBERT(SentenceTransformer(find_model(paper.model), trust_remote_code=False))
        tools["KeyBERT, same weights"] = lambda: [
            [phrase for phrase, _ in keybert.extract_keywords(text, keyphrase_ngram_range=(1, 3), top_n=TOP)]
            for text in texts
        ]
    if find_spec("yake"):
        import yake

        extractor = yake.KeywordExtractor(lan="en", top=TOP)
        tools["YAKE"] = lambda: [[phrase for phrase, _ in extractor.extract_keywords(text)] for text in texts]
    return tools
