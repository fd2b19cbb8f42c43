"""Where phrases occur in a text: the offsets of each sequence of words with the stems of the phrase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kpray.text.stems import stemmed_word_spans

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StemmedText:
    """The words of a text, stemmed, as `kpray.text.stems.stemmed_words` splits it.

    Attributes:
        stems: stem of each word.
        spans: int32 [words, 2], character offsets of each word.
    """

    stems: Sequence[str]
    spans: np.ndarray

    @classmethod
    def of(cls, text: str, lang: str) -> StemmedText:
        """Split and stem a text."""
        stems, spans = stemmed_word_spans(text, lang)
        return cls(stems, np.array(spans, dtype=np.int32).reshape(-1, 2))

    def find(self, phrases: Sequence[Sequence[str]]) -> list[Spans]:
        """Character offsets of all occurrences of phrases.

        Args:
            phrases: stems of the words of each phrase, from `stemmed_words`.

        Returns:
            For each phrase its spans in text order, without overlaps; empty for a phrase that does not occur.
        """
        # A string search runs in C; a loop over positions takes ten times as long.
        text = f" {' '.join(self.stems)} "
        starts = np.cumsum([0, *(len(stem) + 1 for stem in self.stems)])
        return [self._find(f" {' '.join(phrase)} ", len(phrase), text, starts) if phrase else () for phrase in phrases]

    def _find(self, phrase: str, words: int, text: str, starts: np.ndarray) -> Spans:
        found = []
        position = text.find(phrase)
        while position >= 0:
            found.append(position)
            position = text.find(phrase, position + len(phrase) - 1)  # the blank may begin the next occurrence
        first = np.searchsorted(starts, found)
        return tuple(zip(self.spans[first, 0].tolist(), self.spans[first + words - 1, 1].tolist(), strict=True))


def without_overlaps(spans: Iterable[tuple[int, int]]) -> Spans:
    """Spans in text order; of two that overlap, the one that begins earlier, or the longer one."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return tuple(kept)
