"""From token scores to phrase scores: SAMRank Eq. 7-8, Sec. 3.5, for every phrase and head of a document at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Where the candidate phrases of a document stand in it; sorted by phrase, then by place.

    Attributes:
        first_of_phrase: int64 [phrases], index of each phrase's first occurrence; phrases in order of appearance.
        words: int32 [occurrences, 2], first word and one past the last.
        tokens: int32 [occurrences, 2], likewise in the model's tokens.
        weights: float64 [occurrences], what each counts for in Eq. 8.
    """

    first_of_phrase: np.ndarray
    words: np.ndarray
    tokens: np.ndarray
    weights: np.ndarray


def find_occurrences(
    words: Sequence[str], candidates: np.ndarray, word_spans: np.ndarray, token_spans: np.ndarray, segments: np.ndarray
) -> Occurrences:
    """Find every place where a candidate's words stand side by side, whatever their case.

    Args:
        words: the words of the document.
        candidates: int32 [candidates, 2], words of each candidate: first and one past the last, sorted by place.
        word_spans: int32 [words, 2] character offsets.
        token_spans: int32 [tokens, 2] character offsets.
        segments: int32 [tokens], number of the segment each token is in.
    """
    vocabulary: dict[str, int] = {}
    word_ids = np.fromiter(
        (vocabulary.setdefault(word.lower(), len(vocabulary)) for word in words), dtype=np.int64, count=len(words)
    )
    places = _places(word_ids, candidates)
    # Phrases are numbered by their first place, the longer first, so that equal scores rank in reading order.
    starts, lengths, phrases = places[:, 0], places[:, 1], places[:, 2]
    by_place = np.lexsort((-lengths, starts))
    _, first_places, phrases = np.unique(phrases[by_place], return_index=True, return_inverse=True)
    rank = np.empty_like(first_places)
    rank[np.argsort(first_places)] = np.arange(len(first_places))
    phrases = rank[phrases]
    order = np.argsort(phrases, kind="stable")
    starts, lengths, phrases = starts[by_place][order], lengths[by_place][order], phrases[order]

    occurrence_words = np.stack([starts, starts + lengths], axis=1).astype(np.int32)
    # The tokens that touch it: from the first that ends after its start to the last that starts before its end.
    first_token = np.searchsorted(token_spans[:, 1], word_spans[starts, 0], side="right")
    last_token = np.searchsorted(token_spans[:, 0], word_spans[starts + lengths - 1, 1], side="left")
    tokens = np.stack([first_token, np.maximum(first_token, last_token)], axis=1).astype(np.int32)
    return Occurrences(
        first_of_phrase=np.flatnonzero(np.diff(phrases, prepend=-1)),
        words=occurrence_words,
        tokens=tokens,
        weights=_weights(starts, lengths, phrases, segments[np.minimum(first_token, len(segments) - 1)], len(words)),
    )


def _places(word_ids: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """int64 [places, 3]: start, length and phrase number of every n-gram that equals a candidate."""
    candidate_lengths = candidates[:, 1] - candidates[:, 0]
    found, phrases_before = [], 0
    codes = word_ids  # codes[i] is a number for the n-gram that starts at word i, equal n-grams having equal numbers
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
    """What each occurrence counts for (Sec. 3.5).

    A phrase of several words counts in full wherever it stands. A single word does not count inside a longer candidate,
    and the mean of its other places is taken, in each segment apart.
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
