"""Present keyphrases as token labels: gold spans to labels B, I, X and O (App. C), and labels to phrases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from kpray.text.stems import contains_phrase, lowered_word_spans, stemmed_word_spans, stemmed_words

LABELS = ("O", "B", "I", "X")
OUTSIDE, BEGIN, INSIDE, PIECE = range(len(LABELS))


def find_gold_spans(
    text: str, keyphrases: Sequence[str], lang: str, match: Literal["stemmed", "exact"]
) -> list[tuple[int, int]]:
    """Find all occurrences of gold phrases in a text.

    Of overlapping occurrences the leftmost is kept; of occurrences with the same start, the longest.

    Args:
        text: text of the document.
        keyphrases: gold phrases as written.
        lang: language code, which determines the stemmer.
        match: compare stemmed words, or lower-cased words.

    Returns:
        (start, end) character offsets in the original text, sorted and without overlap.
    """
    split = partial(stemmed_word_spans, lang=lang) if match == "stemmed" else lowered_word_spans
    # The phrases as a trie of words; the key None marks the end of a phrase.
    tree: dict[str | None, Any] = {}
    for keyphrase in keyphrases:
        node = tree
        for word in split(keyphrase)[0]:
            node = node.setdefault(word, {})
        node[None] = {}
    words, spans = split(text)
    found: list[tuple[int, int]] = []
    free = 0  # the first word after the last occurrence
    for first in [index for index, word in enumerate(words) if word in tree]:
        if first < free:
            continue
        node, index = tree, first
        while index < len(words) and words[index] in node:
            node, index = node[words[index]], index + 1
            if None in node:
                free = index
        if free > first:
            found.append((spans[first][0], spans[free - 1][1]))
    return found


def split_present_absent(
    text: str, keyphrases: Sequence[str], lang: str, match: Literal["stemmed", "exact"]
) -> tuple[list[str], list[str]]:
    """Split gold phrases into those that occur in the text, which are labelled, and the others, which are generated.

    Phrases are matched as for the labels, so each phrase is in exactly one list. Both lists keep the order of
    `keyphrases`. Of phrases with equal stems the first is kept; phrases without words are dropped.

    Args:
        text: text of the whole document.
        keyphrases: gold phrases as written.
        lang: language code, which determines the stemmer.
        match: see `find_gold_spans`.
    """
    by_stems: dict[tuple[str, ...], str] = {}
    for keyphrase in keyphrases:
        by_stems.setdefault(tuple(stemmed_words(keyphrase, lang)), keyphrase)
    by_stems.pop((), None)
    words = stemmed_words(text, lang) if match == "stemmed" else lowered_word_spans(text)[0]
    present: list[str] = []
    absent: list[str] = []
    for stems, keyphrase in by_stems.items():
        phrase = stems if match == "stemmed" else lowered_word_spans(keyphrase)[0]
        (present if contains_phrase(words, phrase) else absent).append(keyphrase)
    return present, absent


def label_tokens(spans: np.ndarray, starts_word: np.ndarray, gold_spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Label the tokens of a text (App. C).

    The first piece of a phrase's first word has the label B, the first pieces of its other words I, and all further
    pieces X. All other tokens have O. Words are those of the tokenizer: a word belongs to the first gold span that its
    first piece overlaps.

    Args:
        spans: int32 [S, 2], character offsets of the tokens in order, special tokens left out.
        starts_word: bool [S], True for the first piece of a word.
        gold_spans: from `find_gold_spans`, sorted and without overlap.

    Returns:
        int8 [S], indices into `LABELS`.
    """
    gold = np.array(gold_spans, dtype=np.int64).reshape(-1, 2)
    labels = np.full(len(spans), OUTSIDE, dtype=np.int8)
    words = np.flatnonzero(starts_word)
    if not len(gold) or not len(words):
        return labels
    phrases = np.searchsorted(gold[:, 1], spans[words, 0], side="right")  # the first that ends after the piece starts
    inside = np.append(gold[:, 0], np.iinfo(np.int64).max)[phrases] < spans[words, 1]
    phrases = np.where(inside, phrases, -1)
    continued = np.diff(phrases, prepend=-1) == 0
    labels[words] = np.where(inside, np.where(continued, INSIDE, BEGIN), OUTSIDE)
    pieces = np.flatnonzero(~starts_word[words[0] :]) + words[0]
    labels[pieces] = np.where(inside[np.searchsorted(words, pieces) - 1], PIECE, OUTSIDE)
    return labels


def read_phrases(
    labels: np.ndarray, probabilities: np.ndarray, starts_word: np.ndarray
) -> list[tuple[int, int, float]]:
    """Read phrases from labels: a word with the label B and the words with the label I after it.

    The label of a word is that of its first piece, where X counts as O. The labels of further pieces are ignored. A
    word with the label I that does not follow B or I is not part of a phrase.

    Args:
        labels: int [S], indices into `LABELS`, special tokens and padding left out.
        probabilities: float [S], probability of each token's label.
        starts_word: bool [S], True for the first piece of a word.

    Returns:
        (first token, one past the last token, score) of each phrase, in order. The score is the mean probability of the
        phrase's tokens (App. E).
    """
    words = np.flatnonzero(starts_word)
    begins = np.flatnonzero(labels[words] == BEGIN)
    if not len(begins):
        return []
    breaks = np.append(np.flatnonzero(labels[words] != INSIDE), len(words))
    firsts = words[begins]
    ends = np.append(words, len(labels))[breaks[np.searchsorted(breaks, begins, side="right")]]
    # Sum from each first token to its end; the appended zero makes the last end a valid index.
    bounds = np.stack([firsts, ends], axis=1).ravel()
    sums = np.add.reduceat(np.append(probabilities.astype(np.float64), 0.0), bounds)[::2]
    return list(zip(firsts.tolist(), ends.tolist(), (sums / (ends - firsts)).tolist(), strict=True))
