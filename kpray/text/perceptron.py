"""NLTK's averaged perceptron tagger for English, with its weights in arrays: the same tags in a fraction of the time.

Matthew Honnibal, "A Good Part-of-Speech Tagger in about 200 Lines of Python", 2013. The tagger reads a sentence from
left to right. The score of a tag is the sum of its weights for 14 features of the word, its neighbours and the two tags
before it. Here all sentences are read at the same time, word by word, and the ten features that do not depend on tags
are summed up before. The published weights have three decimals, so integers hold them exactly.

Shape legend: N words, S sentences that have a word at a position, T tags, F features.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json

NLTK_TAGGER = "averaged_perceptron_tagger_eng"
_START = ("-START-", "-START2-")  # the tags and words before a sentence
_END = ("-END-", "-END2-")
_DECIMALS = 1000
_COLUMNS = 11
_MOST_SEEN = 1 << 16  # words whose features are kept


def data_folder() -> Path:
    """The folder with the tagger's weights, where NLTK looks for them.

    Raises:
        LookupError: there is none.
    """
    loaded: Any = sys.modules.get("nltk.data")
    for folder in loaded.path if loaded else _search_path():
        found = Path(folder) / "taggers" / NLTK_TAGGER
        if (found / f"{NLTK_TAGGER}.weights.json").is_file():
            return found
    raise LookupError(NLTK_TAGGER)


def _search_path() -> list[str]:
    """The folders that NLTK searches, without the import of NLTK, which takes a second."""
    given = [folder for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    prefixes = [f"{sys.prefix}/", f"{sys.prefix}/share/", f"{sys.prefix}/lib/"]
    system = ["/usr/share/", "/usr/local/share/", "/usr/lib/", "/usr/local/lib/"]
    return [*given, os.path.expanduser("~/nltk_data"), *(f"{start}nltk_data" for start in prefixes + system)]


class PerceptronTagger:
    """Tags the words of sentences.

    Args:
        folder: from `data_folder`.
    """

    def __init__(self, folder: Path) -> None:
        weights, known, tags = (
            from_json((folder / f"{NLTK_TAGGER}.{part}.json").read_bytes())  # in half the time of `json`
            for part in ("weights", "tagdict", "classes")
        )
        # Of equal scores, NLTK takes the tag that is last in the alphabet; `argmax` takes the first.
        self._tags: list[str] = sorted(tags, reverse=True)
        numbers = {tag: number for number, tag in enumerate([*self._tags, *_START])}
        self._known = {word: numbers[tag] for word, tag in known.items()}
        self._rows = {feature: row for row, feature in enumerate(weights, start=1)}  # row 0: no weights
        self._weights_FT = _matrix(weights.values(), numbers, len(tags))
        self._before = len(tags)  # number of -START-; -START2- follows it

        self._pairs_TT = self._pair_weights(list(numbers))
        self._words: dict[str, int] = {}  # words that occur in a feature with a tag
        self._tag_and_word = self._tag_and_word_rows(numbers)
        self._seen: dict[str, int] = {}  # a word -> its row in `_features`
        self._features = np.zeros((0, _COLUMNS), dtype=np.int64)

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Penn Treebank tags of the words of each sentence.

        Args:
            sentences: words; a sentence may be empty.
        """
        lengths = np.array([len(words) for words in sentences], dtype=np.int64)
        if not lengths.sum():
            return [[] for _ in sentences]
        rows = self._rows_of([word for words in sentences for word in (*_START, *words, *_END)])
        ends = np.cumsum(lengths)
        shifts = 4 * np.arange(len(lengths)) + 2  # the words before a word that belong to no sentence
        numbers = self._tag_rows(rows, np.arange(ends[-1]) + np.repeat(shifts, lengths), ends - lengths, lengths)
        names = [self._tags[number] for number in numbers.tolist()]
        return [names[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]

    def _rows_of(self, words: list[str]) -> np.ndarray:
        """Features of words, int64 [words, columns]; see `_find_features`."""
        if len(self._seen) > _MOST_SEEN:
            self._seen, self._features = {}, self._features[:0]
        new = [word for word in dict.fromkeys(words) if word not in self._seen]
        if new:
            self._features = np.concatenate([self._features, [self._find_features(word) for word in new]])
            self._seen.update(zip(new, range(len(self._seen), len(self._features)), strict=True))
        return self._features[[self._seen[word] for word in words]]

    def _tag_rows(
        self, rows: np.ndarray, positions_N: np.ndarray, first: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """Tag all words.

        Args:
            rows: features of all words and of those before and after each sentence; see `_find_features`.
            positions_N: index in `rows` of each word.
            first: number of the first word of each sentence, from 0 to N.
            lengths: number of words of each sentence.

        Returns:
            Numbers of the tags, int64 [N].
        """
        static_NT = np.repeat(self._weights_FT[[self._row("bias")]], len(positions_N), axis=0)
        for offset, columns in ((0, (2, 3, 4)), (-1, (5, 6)), (-2, (7,)), (1, (8, 9)), (2, (10,))):
            for column in columns:
                static_NT += self._weights_FT[rows[positions_N + offset, column]]
        # The first words of all sentences come first, then the second words, and so on; long sentences come first, so
        # that those with a word at a position are the first ones.
        rank = np.empty(len(lengths), dtype=np.int64)
        rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
        position = np.arange(len(positions_N)) - np.repeat(first, lengths)
        order_N = np.lexsort((np.repeat(rank, lengths), position))
        having = np.bincount(position)
        known_N, word_N = rows[positions_N, 0][order_N], rows[positions_N, 1][order_N]
        static_NT, tags_N = static_NT[order_N], np.empty(len(order_N), dtype=np.int64)
        last_S = np.full(having[0], self._before)
        second_last_S = last_S + 1
        start = 0
        for count in having.tolist():
            step, last = slice(start, start + count), last_S[:count]
            scores_ST = static_NT[step] + self._pairs_TT[last, second_last_S[:count]]
            scores_ST += self._weights_FT[self._tag_and_word[last, word_N[step]]]
            known_S = known_N[step]
            last_S, second_last_S = np.where(known_S >= 0, known_S, scores_ST.argmax(axis=1)), last
            tags_N[step] = last_S
            start += count
        found_N = np.empty_like(tags_N)
        found_N[order_N] = tags_N
        return found_N

    def _find_features(self, word: str) -> tuple[int, ...]:
        """Numbers that depend on a word alone.

        They are its tag in the list of unambiguous words (-1: none), its number in `_words`, and rows of `_weights_FT`:
        of its suffix, first letter and form, as the word to tag; of its form and suffix, as the word before; of its
        form, as the second word before; of its form and suffix, as the next word; of its form, as the word after that.
        """
        normal = word if word in (*_START, *_END) else _normalize(word)
        return (
            self._known.get(word, -1),
            self._words.get(normal, 0),
            *(self._row("i suffix", word[-3:]), self._row("i pref1", word[:1]), self._row("i word", normal)),
            *(self._row("i-1 word", normal), self._row("i-1 suffix", normal[-3:]), self._row("i-2 word", normal)),
            *(self._row("i+1 word", normal), self._row("i+1 suffix", normal[-3:]), self._row("i+2 word", normal)),
        )

    def _row(self, *parts: str) -> int:
        return self._rows.get(" ".join(parts), 0)

    def _pair_weights(self, tags: Sequence[str]) -> np.ndarray:
        """Sum of the weights for the last and the second last tag and for both: int32 [tags, tags, T]."""
        last = self._weights_FT[[self._row("i-1 tag", tag) for tag in tags]]
        second_last = self._weights_FT[[self._row("i-2 tag", tag) for tag in tags]]
        both = self._weights_FT[[[self._row("i tag+i-2 tag", one, two) for two in tags] for one in tags]]
        summed: np.ndarray = last[:, None] + second_last + both
        return summed

    def _tag_and_word_rows(self, numbers: Mapping[str, int]) -> np.ndarray:
        """Rows of the features that have the last tag and the word: int32 [tags, words], 0 where there is none."""
        found = [
            (tag, word, row)
            for feature, row in self._rows.items()
            if feature.startswith("i-1 tag+i word ")
            for tag, _, word in [feature.removeprefix("i-1 tag+i word ").partition(" ")]
        ]
        self._words = {word: number for number, word in enumerate(dict.fromkeys(word for _, word, _ in found), start=1)}
        rows = np.zeros((len(numbers), len(self._words) + 1), dtype=np.int32)
        for tag, word, row in found:
            if tag in numbers:
                rows[numbers[tag], self._words[word]] = row
        return rows


def _matrix(weights: Iterable[Mapping[str, float]], numbers: Mapping[str, int], tags: int) -> np.ndarray:
    """Weights as integers, int32 [F + 1, T]; row 0 has none."""
    weights = list(weights)
    sizes = [len(row) for row in weights]
    values = np.fromiter(chain.from_iterable(row.values() for row in weights), dtype=np.float64, count=sum(sizes))
    columns = np.fromiter(map(numbers.__getitem__, chain.from_iterable(weights)), dtype=np.int64, count=sum(sizes))
    matrix = np.zeros((len(weights) + 1, tags), dtype=np.int32)
    matrix[np.repeat(np.arange(1, len(weights) + 1), sizes), columns] = np.rint(values * _DECIMALS)
    return matrix


def _normalize(word: str) -> str:
    """The form in which NLTK's tagger looks a word up."""
    if "-" in word and word[0] != "-":
        return "!HYPHEN"
    if word.isdigit() and len(word) == 4:
        return "!YEAR"
    if word and word[0].isdigit():
        return "!DIGITS"
    return word.lower()
