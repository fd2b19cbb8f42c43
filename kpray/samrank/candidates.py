"""Candidates under the options of a user: a vocabulary, stop words, a maximum number of words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import numpy as np

from kpray.selection import Selection
from kpray.text.general_words import STOP_WORDS
from kpray.text.languages import primary_language
from kpray.text.occurrences import StemmedText
from kpray.text.words import Words


def select_candidates(
    candidates: np.ndarray, selection: Selection, text_words: StemmedText, words: Words, lang: str
) -> np.ndarray:
    """Candidates under the options of a user.

    Args:
        candidates: int32 [candidates, 2], first word and one past the last word.
        selection: the options.
        text_words: the stemmed words of the text.
        words: the words of the text.
        lang: language of the text.

    Returns:
        int32 [candidates, 2], in text order.
    """
    options = selection.options
    if options.vocabulary:
        candidates = vocabulary_candidates(selection.vocabulary(lang), text_words, words)
        stop_words, longest = selection.stop_words, options.max_words or len(words.texts)
        kept = [
            stop_words.isdisjoint(map(str.lower, words.texts[start:end])) and end - start <= longest
            for start, end in candidates.tolist()
        ]
        found: np.ndarray = candidates[np.array(kept, dtype=bool)]
        return found
    if selection.stop_words or options.max_words:
        english = primary_language(lang) == "en"
        return restricted_candidates(candidates, words, selection.stop_words, options.max_words, english=english)
    return candidates


def vocabulary_candidates(vocabulary: Collection[tuple[str, ...]], text_words: StemmedText, words: Words) -> np.ndarray:
    """Every occurrence of the phrases of a vocabulary that consists of whole words.

    Args:
        vocabulary: stems of each phrase.
        text_words: the stemmed words of the text.
        words: the words of the text; unlike a stemmed word, one may contain hyphens.

    Returns:
        int32 [candidates, 2], first word and one past the last word, in text order.
    """
    starts = {start: index for index, (start, _) in enumerate(words.spans)}
    ends = {end: index + 1 for index, (_, end) in enumerate(words.spans)}
    lengths = sorted({len(phrase) for phrase in vocabulary})
    spans = text_words.spans.tolist()
    found = set()
    for length in lengths:
        for first in range(len(spans) - length + 1):
            if tuple(text_words.stems[first : first + length]) in vocabulary:
                start, end = starts.get(spans[first][0]), ends.get(spans[first + length - 1][1])
                if start is not None and end is not None:
                    found.add((start, end))
    return np.array(sorted(found), dtype=np.int32).reshape(-1, 2)


def restricted_candidates(
    candidates: np.ndarray, words: Words, stop_words: Collection[str], max_words: int | None, *, english: bool
) -> np.ndarray:
    """Candidates without stop words and with at most `max_words` words.

    The head of an English noun phrase is its last word. So an English candidate loses what comes before its last stop
    word, and words at its beginning that are too many. In other languages, a stop word splits a candidate, and longer
    ones are left out: their parts are candidates already.

    Args:
        candidates: int32 [candidates, 2], first word and one past the last word.
        words: the words of the text.
        stop_words: stop words, lower-case.
        max_words: maximum number of words; None: no limit.
        english: whether the text is English.

    Returns:
        int32 [candidates, 2], in text order.
    """
    found = set()
    for start, end in candidates.tolist():
        lowered = [word.lower() for word in words.texts[start:end]]
        ranges = list(_without(lowered, stop_words))
        if english:
            ranges = [_head(lowered, first, max_words) for first, last in ranges if last == len(lowered)]
        for first, last in ranges:
            if first < last and last - first <= (max_words or last):
                found.add((start + first, start + last))
    return np.array(sorted(found), dtype=np.int32).reshape(-1, 2)


def _without(words: Sequence[str], stop_words: Collection[str]) -> Iterator[tuple[int, int]]:
    """Ranges of words between stop words."""
    for is_stop, run in groupby(range(len(words)), lambda index: words[index] in stop_words):
        if not is_stop:
            indices = list(run)
            yield indices[0], indices[-1] + 1


def _head(words: Sequence[str], first: int, max_words: int | None) -> tuple[int, int]:
    """The last words of a noun phrase, from index `first`, without stop words and clitics ('s) at their beginning."""
    first = max(first, len(words) - max_words) if max_words else first
    while first < len(words) and (words[first] in STOP_WORDS or not words[first][0].isalnum()):
        first += 1
    return first, len(words)
