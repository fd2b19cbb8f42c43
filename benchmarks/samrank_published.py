"""SAMRank as its published code does it: what the fast path is measured against, never what kpray runs.

One document at a time through all layers with eager attention maps, n x n matrices for every head, Python loops over
phrases and tokens, and for every head a stem of every word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from nltk.stem.porter import PorterStemmer
from torch import Tensor


def token_scores(attention: Tensor) -> Tensor:
    """Eq. 2-6 with the paper's matrices: float32 [n] of a float32 [n, n] attention map; [SEP] is the last token."""
    global_scores = attention.sum(dim=0)
    global_scores[-1] = 0
    redistributed = attention * global_scores  # A diag(G)
    normalized = redistributed / (redistributed.sum(dim=0, keepdim=True) + 1e-10)
    return global_scores + normalized.sum(dim=1)


def phrase_positions(pieces: Sequence[str], phrase: str) -> list[tuple[int, int]]:
    """Where the pieces of the text spell the phrase, as (first, one past the last)."""
    wanted = phrase.lower().replace(" ", "")
    positions = []
    for start in range(len(pieces)):
        spelled = ""
        for end in range(start, len(pieces)):
            spelled += pieces[end]
            if not wanted.startswith(spelled):
                break
            if spelled == wanted:
                positions.append((start, end + 1))
                break
    return positions


def rank_by_heads(
    model: Any, ids: np.ndarray, pieces: Sequence[str], phrases: Sequence[str], heads: Sequence[tuple[int, int]]
) -> list[list[str]]:
    """Rank the phrases of one document by each head.

    Args:
        model: a BERT-type model with eager attention.
        ids: int64 [n] token ids with [CLS] and [SEP].
        pieces: [n] the text of each token, lower-case, without word-piece marks.
        phrases: candidates.
        heads: (layer, head), both from 0.

    Returns:
        For each head the phrases, best first, of those with the same stems the best only.
    """
    with torch.inference_mode():
        attentions = model(input_ids=torch.from_numpy(ids)[None], output_attentions=True).attentions
        positions = {phrase: phrase_positions(pieces, phrase) for phrase in phrases}
        for phrase in phrases:
            for word in phrase.split() if " " in phrase else []:
                if word in positions:
                    inside = positions[phrase]
                    positions[word] = [
                        (start, end)
                        for start, end in positions[word]
                        if not any(start >= first and end <= last for first, last in inside)
                    ]
        return [_rank(token_scores(attentions[layer][0, head]), positions) for layer, head in heads]


def _rank(scores: Tensor, positions: dict[str, list[tuple[int, int]]]) -> list[str]:
    """Eq. 7-8."""
    totals = {}
    for phrase, places in positions.items():
        total = torch.zeros(())
        for start, end in places:
            total = total + scores[start:end].sum()
        totals[phrase] = total / len(places) if places and " " not in phrase else total
    stemmer = PorterStemmer()
    ranking: list[str] = []
    stems: list[str] = []
    for phrase, _ in sorted(totals.items(), key=lambda item: item[1], reverse=True):
        stem = " ".join(stemmer.stem(word) for word in phrase.split())
        if stem not in stems:
            stems.append(stem)
            ranking.append(phrase)
    return ranking
