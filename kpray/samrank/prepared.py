"""A document between SAMRank's two steps: its tokens and candidates, not yet scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kpray.samrank.phrases import Occurrences
from kpray.text.occurrences import Spans, StemmedText, without_overlaps


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document after preprocessing on the CPU.

    Attributes:
        segments: int64 [tokens of the segment] token ids each, special tokens included.
        spans: int32 [tokens, 2] character offsets in the text as given, special tokens left out.
        occurrences: occurrences of the candidates.
        phrases: text of each candidate's first occurrence.
        groups: int64 [phrases], group of each phrase. Phrases with equal stems share a group; with the rule `extended`,
            phrases of one concept do. Groups are numbered from 0 in order of appearance.
        stems: stems of each phrase.
        occurrence_spans: int32 [occurrences, 2], character offsets of `occurrences` in the text as given.
        words: the stemmed words of the text, with offsets in the text as given.
        phrase_words: int64 [phrases, 2], first of `words` and one past the last of each phrase's first occurrence.
        lang: language of the document.
    """

    segments: list[np.ndarray]
    spans: np.ndarray
    occurrences: Occurrences
    phrases: list[str]
    groups: np.ndarray
    stems: list[str]
    occurrence_spans: np.ndarray
    words: StemmedText
    phrase_words: np.ndarray
    lang: str

    def stems_of(self, phrase: int) -> Sequence[str]:
        """Stems of the words of a phrase."""
        return self.words.stems[slice(*self.phrase_words[phrase])]

    def offsets(self, groups: Sequence[int]) -> list[Spans]:
        """For each group the spans of its phrases' occurrences, and of all words with the same stems."""
        phrases = [np.flatnonzero(self.groups == group).tolist() for group in groups]
        found = iter(self.words.find([self.stems_of(one) for several in phrases for one in several]))
        by_phrase = np.split(self.occurrence_spans, self.occurrences.first_of_phrase[1:])
        return [
            without_overlaps([span for one in several for span in (*next(found), *map(tuple, by_phrase[one].tolist()))])
            for several in phrases
        ]
