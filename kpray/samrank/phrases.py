"""Phrase scores from token scores (SAMRank, Eq. 7-8 and Sec. 3.5), for all phrases and heads of a document at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

#: Weight of a phrase that a document has once, in languages other than English.
ONCE = 0.25


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The occurrences of a document's candidate phrases, sorted by phrase, then by position in the text.

    Attributes:
        first_of_phrase: int64 [phrases], index of each phrase's first occurrence; phrases in order of appearance.
        words: int32 [occurrences, 2], first word and one past the last word.
        tokens: int32 [occurrences, 2], first token of the model and one past the last token.
        weights: float64 [occurrences], weight of each occurrence in the sum of Eq. 8.
    """

    first_of_phrase: np.ndarray
    words: np.ndarray
    tokens: np.ndarray
    weights: np.ndarray


def find_occurrences(
    words: Sequence[str], candidates: np.ndarray, word_spans: np.ndarray, token_spans: np.ndarray, segments: np.ndarray
) -> Occurrences:
    """Find all occurrences of the candidates' word sequences, ignoring case.

    Args:
        words: the words of the document.
        candidates: int32 [candidates, 2], first word and one past the last word of each candidate, in text order.
        word_spans: int32 [words, 2] character offsets.
        token_spans: int32 [tokens, 2] character offsets.
        segments: int32 [tokens], index of each token's segment.
    """
    vocabulary: dict[str, int] = {}
    word_ids = np.fromiter(
        (vocabulary.setdefault(word.lower(), len(vocabulary)) for word in words), dtype=np.int64, count=len(words)
    )
    starts, lengths, phrases = _matches(word_ids, candidates).T
    # Phrases are numbered by first occurrence, longer phrases first, so that equal scores rank in reading order.
    text_order = np.lexsort((-lengths, starts))
    _, first_matches, phrases = np.unique(phrases[text_order], return_index=True, return_inverse=True)
    rank = np.empty_like(first_matches)
    rank[np.argsort(first_matches)] = np.arange(len(first_matches))
    phrases = rank[phrases]
    order = np.argsort(phrases, kind="stable")
    starts, lengths, phrases = starts[text_order][order], lengths[text_order][order], phrases[order]

    occurrence_words = np.stack([starts, starts + lengths], axis=1).astype(np.int32)
    # Tokens that overlap the occurrence: the first ends after its start, the last starts before its end.
    first_token = np.searchsorted(token_spans[:, 1], word_spans[starts, 0], side="right")
    last_token = np.searchsorted(token_spans[:, 0], word_spans[starts + lengths - 1, 1], side="left")
    tokens = np.stack([first_token, np.maximum(first_token, last_token)], axis=1).astype(np.int32)
    return Occurrences(
        first_of_phrase=np.flatnonzero(np.diff(phrases, prepend=-1)),
        words=occurrence_words,
        tokens=tokens,
        weights=_weights(starts, lengths, phrases, segments[np.minimum(first_token, len(segments) - 1)], len(words)),
    )


def _matches(word_ids: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Start, length and phrase number of every n-gram that equals a candidate: int64 [matches, 3]."""
    candidate_lengths = candidates[:, 1] - candidates[:, 0]
    found, phrases_before = [], 0
    codes = word_ids  # codes[i] identifies the n-gram that starts at word i; equal n-grams have equal codes
    for length in range(1, int(candidate_lengths.max(initial=0)) + 1):
        if length > 1:
            codes = np.unique(codes[:-1] * len(word_ids) + word_ids[length - 1 :], return_inverse=True)[1]
        wanted = np.unique(codes[candidates[candidate_lengths == length, 0]])
        if len(wanted):
            starts = np.flatnonzero(np.isin(codes, wanted))
            numbers = phrases_before + np.searchsorted(wanted, codes[starts])
            found.append(np.stack([starts, np.full_like(starts, length), numbers], axis=1))
        phrases_before += len(wanted)
    return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)


def _weights(
    starts: np.ndarray, lengths: np.ndarray, phrases: np.ndarray, segments: np.ndarray, words: int
) -> np.ndarray:
    """Weight of each occurrence (Sec. 3.5).

    Each occurrence of a multi-word phrase has weight 1. An occurrence of a single word inside a longer candidate has
    weight 0; the word's other occurrences are averaged within each segment.
    """
    several = lengths > 1
    edges = np.zeros(words + 1, dtype=np.int64)
    np.add.at(edges, starts[several], 1)
    np.add.at(edges, (starts + lengths)[several], -1)
    inside_longer = np.cumsum(edges)[starts] > 0
    weights = np.where(several, 1.0, np.where(inside_longer, 0.0, 1.0))
    counted = np.flatnonzero(~several & ~inside_longer)
    _, group, sizes = np.unique(
        np.stack([phrases[counted], segments[counted]], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    weights[counted] /= sizes[group]
    return weights


def prefer_recurring(occurrences: Occurrences, groups: np.ndarray) -> Occurrences:
    """Lower the weight of phrases that occur once.

    Candidates that are found without a tagger often are no terms; those that recur are.

    Args:
        occurrences: occurrences of the candidates.
        groups: int64 [phrases], group of each phrase. A group that occurs more than once keeps its weight.
    """
    counts = np.diff(occurrences.first_of_phrase, append=len(occurrences.words))
    recurs = np.bincount(groups, weights=counts)[groups] > 1
    return replace(occurrences, weights=occurrences.weights * np.repeat(np.where(recurs, 1.0, ONCE), counts))


def phrase_scores(token_scores: np.ndarray, occurrences: Occurrences) -> np.ndarray:
    """Eq. 7: sum over the tokens of an occurrence; Eq. 8: sum over the occurrences of a phrase.

    Args:
        token_scores: [heads, tokens], Eq. 6, without special tokens.

    Returns:
        float64 [heads, phrases].
    """
    if not len(occurrences.first_of_phrase):
        return np.zeros((len(token_scores), 0))
    sums = np.zeros((token_scores.shape[0], token_scores.shape[1] + 1))
    np.cumsum(token_scores, axis=1, dtype=np.float64, out=sums[:, 1:])
    per_occurrence = sums[:, occurrences.tokens[:, 1]] - sums[:, occurrences.tokens[:, 0]]
    return np.add.reduceat(per_occurrence * occurrences.weights, occurrences.first_of_phrase, axis=1)


def group_vectors(hidden: np.ndarray, occurrences: Occurrences, groups: np.ndarray) -> np.ndarray:
    """Mean hidden state of the tokens of all occurrences of each group's phrases.

    Args:
        hidden: float32 [tokens, hidden size].
        occurrences: occurrences of the phrases.
        groups: int64 [phrases], group of each phrase, numbered from 0.

    Returns:
        float32 [groups, hidden size].
    """
    sums = np.zeros((len(hidden) + 1, hidden.shape[1]))
    np.cumsum(hidden, axis=0, dtype=np.float64, out=sums[1:])
    sizes = np.diff([*occurrences.first_of_phrase, len(occurrences.tokens)])
    of_occurrence = np.repeat(groups, sizes)
    first, end = occurrences.tokens.T
    number = int(groups.max(initial=-1)) + 1
    vectors = np.zeros((number, hidden.shape[1]))
    np.add.at(vectors, of_occurrence, sums[end] - sums[first])
    tokens = np.bincount(of_occurrence, weights=end - first, minlength=number)
    return (vectors / np.maximum(tokens, 1)[:, None]).astype(np.float32)
