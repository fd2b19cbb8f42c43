"""Present keyphrases as token labels: gold spans of a text, their B, I, X and O labels (App. C), and the way back."""

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
    """Every place in a text where a gold phrase's words stand side by side.

    Of places that overlap the leftmost is kept, of those that start together the longest, so that the longest of
    nested phrases wins.

    Args:
        text: of the document.
        keyphrases: gold phrases as written.
        lang: language code, which chooses the stemmer.
        match: compare words by their stems, or only lower-cased.

    Returns:
        (start, end) character offsets in the text as it is, sorted, none overlapping another.
    """
    split = partial(stemmed_word_spans, lang=lang) if match == "stemmed" else lowered_word_spans
    # Phrases as a tree of words; the key None stands where one ends.
    tree: dict[str | None, Any] = {}
    for keyphrase in keyphrases:
        node = tree
        for word in split(keyphrase)[0]:
            node = node.setdefault(word, {})
        node[None] = {}
    words, spans = split(text)
    found: list[tuple[int, int]] = []
    free = 0  # the first word that no phrase has taken
    for first in [index for index, word in enumerate(words) if word in tree]:
        if first < free:
            continue
        node, place = tree, first
        while place < len(words) and words[place] in node:
            node, place = node[words[place]], place + 1
            if None in node:
                free = place
        if free > first:
            found.append((spans[first][0], spans[free - 1][1]))
    return found


def split_present_absent(
    text: str, keyphrases: Sequence[str], lang: str, match: Literal["stemmed", "exact"]
) -> tuple[list[str], list[str]]:
    """Gold phrases that occur in the text, which are labelled, and those that do not, which are generated.

    The match is that of the labels, so every phrase is in one of the two. Both are in gold order. Of phrases with equal
    stems the first is kept; one without a word is left out.

    Args:
        text: of the whole document.
        keyphrases: gold phrases as written.
        lang: language code, which chooses the stemmer.
        match: as for `find_gold_spans`.
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
    """Label the tokens of a text: B, I for the first pieces of a phrase's first and other words, X for further pieces.

    A word, as the tokenizer parts them, belongs to the first gold span that its first piece overlaps. So where the two
    disagree on words, a phrase has the tokenizer's: those that start inside its span or run into its start.

    Args:
        spans: int32 [S, 2], character offsets of the tokens in order, special tokens left out.
        starts_word: bool [S], which tokens are the first pieces of a word.
        gold_spans: sorted, none overlapping another, as `find_gold_spans` gives them.

    Returns:
        int8 [S] indices of `LABELS`.
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
    """Phrases that labels say: a word labelled B and the words labelled I that follow it.

    A word is labelled by its first piece, where X is as O; its further pieces belong to it whatever their labels are.
    A word labelled I that follows none labelled B or I is no phrase.

    Args:
        labels: int [S] indices of `LABELS`, special tokens and padding left out.
        probabilities: float [S], of each token's label.
        starts_word: bool [S], which tokens are the first pieces of a word.

    Returns:
        First token, one past the last token, and score of each phrase, in order: the mean of its tokens' probabilities
        (App. E).
    """
    words = np.flatnonzero(starts_word)
    begins = np.flatnonzero(labels[words] == BEGIN)
    if not len(begins):
        return []
    breaks = np.append(np.flatnonzero(labels[words] != INSIDE), len(words))
    firsts = words[begins]
    ends = np.append(words, len(labels))[breaks[np.searchsorted(breaks, begins, side="right")]]
    # Summed from each first token to its end; the zero gives the last end a place.
    bounds = np.stack([firsts, ends], axis=1).ravel()
    sums = np.add.reduceat(np.append(probabilities.astype(np.float64), 0.0), bounds)[::2]
    return list(zip(firsts.tolist(), ends.tolist(), (sums / (ends - firsts)).tolist(), strict=True))
