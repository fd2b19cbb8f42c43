"""SAMRank as the paper defines it: whole matrices, loops over words, one document at a time.

This is the reference for tests of the fast code. It follows Kang & Shin, EMNLP 2023, Eq. 1-8 and Sec. 3.2-3.5 and
4.4.2. Where the paper is silent it follows kpray: forward redistribution has no Eq. 4; words are scored separately in
each segment; `weighting="global"`; the position factor; the mean over several heads; the sum over phrases with equal
stems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from kpray.samrank.config import SAMRankConfig
from kpray.text.stems import stem_phrase
from tests.samrank.tiny_models import TinyModel

Span = tuple[int, int]
Phrase = tuple[str, ...]  # lower-cased words


@cache
def _load(folder: str) -> tuple[Any, Any]:
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@cache
def attention_maps(folder: str, ids: tuple[int, ...]) -> np.ndarray:
    """Eq. 1 for every head: float64 [layers, heads, n, n]; row i is the attention from token i to all tokens."""
    with torch.inference_mode():
        found = _load(folder)[0](input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    return np.stack([layer[0].double().numpy() for layer in found])


def token_scores(A: np.ndarray, muted: int, config: SAMRankConfig) -> np.ndarray:
    """Eq. 2-6 for one map [n, n]: float64 [n]."""
    n = len(A)
    G = np.zeros(n)
    for i in range(n):
        for j in range(n):
            G[i] += A[j, i]  # Eq. 2
    G[muted] = 0
    forward = config.redistribution == "forward"
    B = (A.T if forward else A) @ np.diag(G)  # Eq. 3
    if config.weighting == "unit" and not forward:
        for i in range(n):
            total = sum(B[j, i] for j in range(n))
            B[:, i] = B[:, i] / total if total > 0 else 0  # Eq. 4
    P = np.array([sum(B[i, j] for j in range(n)) for i in range(n)])  # Eq. 5
    if config.weighting == "global" and not forward and P.sum() > 0:
        P = P * n / P.sum()
    parts: dict[str, np.ndarray] = {"both": G + P, "global": G, "proportional": P}  # Eq. 6
    return parts[config.score]


def segments(ids: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """The fewest segments that fit into `room` tokens each; their sizes differ by at most one, larger ones first."""
    count = 1
    while count * room < len(ids):
        count += 1
    parts, start = [], 0
    for number in range(count):
        end = start + len(ids) // count + (number < len(ids) % count)
        parts.append(tuple(ids[start:end]))
        start = end
    return parts


@dataclass(frozen=True)
class Tokens:
    """The tokens of one text.

    Attributes:
        spans: character span of each token.
        segment_of: index of each token's segment.
        scores: float64 [heads, tokens], Eq. 6.
    """

    spans: Sequence[Span]
    segment_of: Sequence[int]
    scores: np.ndarray


def score_tokens(text: str, model: TinyModel, config: SAMRankConfig) -> Tokens:
    """Tokenize a text and score its tokens with each head of `config`, segment by segment."""
    encoding = _load(model.folder)[1](text, add_special_tokens=False, return_offsets_mapping=True)
    most = min(config.segment_tokens or model.most_tokens, model.most_tokens)
    parts = segments(encoding["input_ids"], most - len(model.prefix) - len(model.suffix))
    by_segment = []
    for part in parts:
        maps = attention_maps(model.folder, model.prefix + part + model.suffix)
        whole = np.stack([token_scores(maps[layer, head], model.muted, config) for layer, head in config.layer_heads])
        by_segment.append(whole[:, len(model.prefix) : len(model.prefix) + len(part)])
    return Tokens(
        spans=[(start, end) for start, end in encoding["offset_mapping"]],
        segment_of=[number for number, part in enumerate(parts) for _ in part],
        scores=np.concatenate(by_segment, axis=1),
    )


def phrase_scores(
    words: Sequence[str], word_spans: Sequence[Span], candidates: Sequence[Span], tokens: Tokens
) -> dict[Phrase, np.ndarray]:
    """Eq. 7-8 and Sec. 3.5: phrase -> float64 [heads], in the order of `find_occurrences`."""
    occurrences = find_occurrences([word.lower() for word in words], candidates)
    several = [
        (word_spans[start][0], word_spans[end - 1][1])
        for phrase, found in occurrences.items()
        if len(phrase) > 1
        for start, end in found
    ]
    scores = {}
    for phrase, found in occurrences.items():
        by_segment: dict[int, list[np.ndarray]] = {}
        for start, end in found:
            first, last = word_spans[start][0], word_spans[end - 1][1]
            if len(phrase) == 1 and any(a <= first and last <= b for a, b in several):
                continue  # it is scored as part of the longer phrase
            inside = [t for t, (a, b) in enumerate(tokens.spans) if a < last and b > first]
            segment = tokens.segment_of[inside[0]]
            by_segment.setdefault(segment, []).append(tokens.scores[:, inside].sum(axis=1))  # Eq. 7
        total = np.zeros(len(tokens.scores))
        for values in by_segment.values():
            total += sum(values) / (len(values) if len(phrase) == 1 else 1)  # Eq. 8
        scores[phrase] = total
    return scores


def find_occurrences(words: Sequence[str], candidates: Sequence[Span]) -> dict[Phrase, list[Span]]:
    """All occurrences of every candidate. Phrases are in order of first occurrence; at one position, longest first."""
    phrases = {tuple(words[start:end]) for start, end in candidates}
    occurrences: dict[Phrase, list[Span]] = {}
    for start in range(len(words)):
        for phrase in sorted(phrases, key=len, reverse=True):
            if tuple(words[start : start + len(phrase)]) == phrase:
                occurrences.setdefault(phrase, []).append((start, start + len(phrase)))
    return occurrences


def rank(
    text: str,
    lang: str,
    words: Sequence[str],
    word_spans: Sequence[Span],
    candidates: Sequence[Span],
    tokens: Tokens,
    config: SAMRankConfig,
) -> dict[str, float]:
    """Stems of a phrase -> its score, best first."""
    first = {p: found[0] for p, found in find_occurrences([word.lower() for word in words], candidates).items()}
    by_head = phrase_scores(words, word_spans, candidates, tokens)
    if config.position_scale is not None:
        by_head = {p: scores / (1 + first[p][0] / config.position_scale) for p, scores in by_head.items()}
    if len(config.heads) > 1:
        best = np.max(list(by_head.values()), axis=0)
        by_head = {p: scores / best for p, scores in by_head.items()}
    merged: dict[str, float] = {}
    for phrase, scores in by_head.items():
        start, end = first[phrase]
        stems = stem_phrase(text[word_spans[start][0] : word_spans[end - 1][1]], lang)
        score = float(np.mean(scores))
        merged[stems] = merged.get(stems, 0.0) + score if config.merge_stems else max(merged.get(stems, 0.0), score)
    return dict(sorted(merged.items(), key=lambda item: -item[1]))
