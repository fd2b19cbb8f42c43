"""The background corpus: document frequencies, topics, and documents with keyphrases to train on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from math import log2

import numpy as np

from benchmarks.baselines.candidates import Stems, TaggedText, ngrams, tag_text
from kpray.corpus.limits import Reading
from kpray.corpus.overlap import fingerprints, read_fingerprints
from kpray.corpus.records import Reject, read_records
from kpray.errors import UserError
from kpray.text.stems import stem_word
from kpray.text.tagging import load_tagger

LONGEST = 3  # words of an n-gram of TF-IDF and Kea
TOPICS = 100


@dataclass(frozen=True, slots=True)
class Background:
    """Tagged documents of a corpus.

    Attributes:
        documents: the documents.
        keyphrases: stems of the gold keyphrases of each document.
        frequencies: number of documents with each n-gram of at most `LONGEST` words, and with each noun phrase.
    """

    documents: list[TaggedText]
    keyphrases: list[set[Stems]]
    frequencies: Counter[Stems]

    def idf(self, stems: Stems, seen: int = 0) -> float:
        """log2 of the number of documents divided by the number of those with the phrase, this document included.

        Args:
            stems: the phrase.
            seen: 1 if this document is one of the corpus, else 0.
        """
        return log2((len(self.documents) + 1 - seen) / (self.frequencies[stems] + 1 - seen))


@cache
def read_background(paths: tuple[str, ...], documents: int, exclude: tuple[str, ...]) -> Background:
    """Read and tag the first documents of a corpus, once in a process.

    Args:
        paths: files and folders.
        documents: maximum number of documents.
        exclude: files and folders of documents that are left out, because they are to be predicted.

    Raises:
        UserError: there are no documents.
    """
    tagger = load_tagger("auto")
    excluded = read_fingerprints(exclude, Reading()) if exclude else frozenset()
    found = (
        record
        for record in read_records(paths)
        if not isinstance(record, Reject) and fingerprints(record.document).isdisjoint(excluded)
    )
    records = list(islice(found, documents))
    if not records:
        raise UserError(
            "the background corpus has no documents", where=", ".join(paths), fix="give another --background"
        )
    tagged = [tag_text(record.document, tagger) for record in records]
    return Background(
        documents=tagged,
        keyphrases=[
            {tuple(stem_word(word, record.document.lang) for word in phrase.split()) for phrase in record.keyphrases}
            for record in records
        ],
        frequencies=Counter(chain.from_iterable(map(_counted, tagged))),
    )


def _counted(document: TaggedText) -> set[Stems]:
    """The phrases of a document that have a frequency."""
    return {each.stems for each in (*ngrams(document, LONGEST), *document.phrases)}


class TopicModel:
    """Topics of a corpus by latent Dirichlet allocation."""

    def __init__(self, background: Background) -> None:
        """Fit the topics to the nouns and adjectives of the corpus."""
        from sklearn.decomposition import LatentDirichletAllocation
        from sklearn.feature_extraction.text import CountVectorizer

        texts = [document.content_stems() for document in background.documents]
        self.counts = CountVectorizer(analyzer=list, min_df=2 if len(texts) > 1 else 1)
        self.topics = LatentDirichletAllocation(TOPICS, learning_method="online", random_state=0)
        self.topics.fit(self.counts.fit_transform(texts))
        words = self.topics.components_ / self.topics.components_.sum(axis=1, keepdims=True)
        self.words = words / np.linalg.norm(words, axis=0)  # [topics, words], unit columns

    def importance(self, document: TaggedText, stems: list[str]) -> np.ndarray:
        """Cosine similarity of each word's topics and the document's topics: float64 [stems].

        A word that the corpus does not have gets the smallest importance of the others.
        """
        topics = self.topics.transform(self.counts.transform([document.content_stems()]))[0]
        similar = topics @ self.words / np.linalg.norm(topics)
        known = self.counts.vocabulary_
        found = [float(similar[known[stem]]) for stem in stems if stem in known]
        least = min(found, default=1.0)
        return np.array([similar[known[stem]] if stem in known else least for stem in stems])
