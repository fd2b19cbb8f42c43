"""Kea: a naive Bayes classifier of candidates (Witten et al., 1999)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.baselines.background import LONGEST, Background
from benchmarks.baselines.candidates import (
    Candidate,
    Ranking,
    TaggedText,
    lowered_words,
    ngrams,
    stop_words_of,
)
from kpray.errors import UserError

BINS = 20  # of each feature, with equal numbers of candidates


class Kea:
    """Two features, TF-IDF and the position of the first occurrence, in bins."""

    def __init__(self, background: Background, find: Callable[[TaggedText], list[Candidate]]) -> None:
        """Train the classifier.

        Args:
            background: documents with gold keyphrases, and document frequencies.
            find: gives the candidates of a document.

        Raises:
            UserError: no candidate of the corpus is a gold keyphrase.
        """
        from sklearn.naive_bayes import CategoricalNB

        self.background, self.find = background, find
        features, labels = [], []
        for document, gold in zip(background.documents, background.keyphrases, strict=True):
            candidates = find(document) if gold else []
            if candidates:
                features.append(self.features(document, candidates, seen=1))
                labels += [each.stems in gold for each in candidates]
        if not any(labels):
            raise UserError("Kea needs documents with keyphrases", where="background", fix="give another --background")
        known = np.concatenate(features)
        self.edges = np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], axis=0)  # [bins - 1, features]
        self.classifier = CategoricalNB(min_categories=BINS).fit(self._bins(known), labels)

    def features(self, document: TaggedText, candidates: Sequence[Candidate], seen: int = 0) -> np.ndarray:
        """TF-IDF and relative position of each candidate: float64 [candidates, 2].

        Args:
            document: the document.
            candidates: its candidates.
            seen: 1 if the document is one of the background corpus.
        """
        words = len(document.stems)
        return np.array(
            [
                (len(each.starts) / words * self.background.idf(each.stems, seen), each.starts[0] / words)
                for each in candidates
            ]
        )

    def rank(self, document: TaggedText) -> Ranking:
        """Candidates by their probability. TF-IDF decides between equal ones."""
        found = self.find(document)
        if not found:
            return []
        features = self.features(document, found)
        scores = self.classifier.predict_proba(self._bins(features))[:, 1]
        order = np.lexsort((-features[:, 0], -scores))
        return [(found[index].text, float(scores[index])) for index in order]

    def _bins(self, features: np.ndarray) -> np.ndarray:
        columns = [np.searchsorted(self.edges[:, column], features[:, column]) for column in range(features.shape[1])]
        return np.stack(columns, axis=1)


def kea_candidates(document: TaggedText) -> list[Candidate]:
    """N-grams that neither begin nor end with a stop word."""
    stop = stop_words_of(document.lang)
    kept = []
    for each in ngrams(document, LONGEST):
        words = lowered_words(document, each)
        if words[0] not in stop and words[-1] not in stop:
            kept.append(each)
    return kept
