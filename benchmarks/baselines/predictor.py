"""Every baseline behind the interface of kpray's predictors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from benchmarks.baselines import frequencies, graphs
from benchmarks.baselines.background import Background, TopicModel, read_background
from benchmarks.baselines.candidates import Ranking, TaggedText, tag_text
from benchmarks.baselines.config import NEED_BACKGROUND, BaselineConfig, Method, check_packages
from benchmarks.baselines.embeddings import Embeddings
from benchmarks.baselines.kea import Kea, kea_candidates
from kpray.document import Document, Keyphrase
from kpray.errors import UserError
from kpray.predictor import Explanation, Predictor
from kpray.text.occurrences import StemmedText
from kpray.text.stems import stemmed_words
from kpray.text.tagging import load_tagger

# The ranked phrases of a document. A library needs their maximum number.
Rank = Callable[[TaggedText, int], Ranking]
GRAPHS: dict[Method, Callable[[TaggedText], Ranking]] = {
    "textrank": graphs.textrank,
    "singlerank": graphs.singlerank,
    "topicrank": graphs.topicrank,
    "positionrank": graphs.positionrank,
    "multipartiterank": graphs.multipartiterank,
}

COUNTS: dict[Method, Callable[[TaggedText, Background], Ranking]] = {
    "tfidf": frequencies.tfidf,
    "tfidf-phrases": frequencies.tfidf_phrases,
    "kpminer": frequencies.kpminer,
}


class Baseline(Predictor[TaggedText]):
    """A method that the papers compare with."""

    kind: ClassVar[str] = "baseline"

    def __init__(self, config: BaselineConfig) -> None:
        """Read the background corpus and load the model, where the method needs them.

        Raises:
            UserError: the background corpus or a package is missing.
        """
        check_packages(config.method)
        self.config = config
        self.tagger = load_tagger("auto")
        self.rank = _rank_of(config)

    @override
    def prepare(self, document: Document) -> TaggedText:
        return tag_text(document, self.tagger)

    @override
    def tokens(self, prepared: TaggedText) -> int:
        return len(prepared.stems)

    @override
    def predict_prepared(self, prepared: Sequence[TaggedText], top: int) -> list[Explanation]:
        return [self._predict(document, top) for document in prepared]

    def _predict(self, document: TaggedText, top: int) -> Explanation:
        ranked = self.rank(document, top)[:top]
        phrases = [stemmed_words(text, document.lang) for text, _ in ranked]
        offsets = StemmedText.of(document.text, document.lang).find(phrases)
        best = max((score for _, score in ranked), default=0.0)
        keyphrases = [
            Keyphrase(text, max(0.0, score / best) if best > 0 else 0.0, present=bool(spans), offsets=spans)
            for (text, score), spans in zip(ranked, offsets, strict=True)
        ]
        return Explanation(keyphrases, np.zeros((0, 2), dtype=np.int32), np.zeros(0))

    @override
    def describe(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json")
        return {"predictor": self.config.method, "tagger": self.tagger.name, "config": config}

    @override
    def save(self, folder: str | Path) -> None:
        raise UserError("a baseline cannot be saved", fix="write its predictions: python benchmarks/run.py baselines")


def _rank_of(config: BaselineConfig) -> Rank:
    method = config.method
    if method in GRAPHS:
        rank = GRAPHS[method]
        return lambda document, top: rank(document)
    if method == "yake":
        return frequencies.yake
    if method in NEED_BACKGROUND:
        return _rank_with_background(config)
    embeddings = _load_embeddings(config.model)
    return {"embedrank": embeddings.embedrank, "mderank": embeddings.mderank, "keybert": embeddings.keybert}[method]


def _rank_with_background(config: BaselineConfig) -> Rank:
    if not config.background:
        raise UserError(f"{config.method} needs a background corpus", fix="give --background FILE")
    background = read_background(config.background, config.background_documents, config.exclude)
    if config.method in ("kea", "kea-phrases"):
        kea = Kea(background, kea_candidates if config.method == "kea" else attrgetter("phrases"))
        return lambda document, top: kea.rank(document)
    if config.method == "topicalpagerank":
        topics = TopicModel(background)
        return lambda document, top: graphs.topicalpagerank(document, partial(topics.importance, document))
    count = COUNTS[config.method]
    return lambda document, top: count(document, background)


_load_embeddings = cache(Embeddings)
