"""The baselines that count: TF-IDF, KP-Miner and YAKE."""

from __future__ import annotations

from math import log2

from benchmarks.baselines.background import LONGEST, Background
from benchmarks.baselines.candidates import (
    Candidate,
    Ranking,
    TaggedText,
    best_first,
    lowered_words,
    ngrams,
    stop_words_of,
)
from kpray.text.languages import primary_language

KPMINER_WORDS = 5
LEAST_FREQUENCY = 3  # of a candidate of KP-Miner
LAST_POSITION = 400  # words before the first occurrence of a candidate of KP-Miner
ALPHA, SIGMA = 2.3, 3.0  # of KP-Miner's boosting factor


def tfidf(document: TaggedText, background: Background) -> Ranking:
    """All n-grams, stop words included, by their frequency and their rarity in the corpus (Spärck Jones, 1972)."""
    return _tfidf(ngrams(document, LONGEST), background)


def tfidf_phrases(document: TaggedText, background: Background) -> Ranking:
    """TF-IDF of the noun phrases."""
    return _tfidf(document.phrases, background)


def kpminer(document: TaggedText, background: Background) -> Ranking:
    """TF-IDF of phrases that recur early in the document (El-Beltagy and Rafea, SemEval 2010).

    A phrase of several words counts as unknown to the corpus, and is boosted. The paper's last step, which lowers the
    counts of phrases inside better ones, is left out.
    """
    stop = stop_words_of(document.lang)
    found = [
        each
        for each in ngrams(document, KPMINER_WORDS)
        if len(each.starts) >= LEAST_FREQUENCY
        and each.starts[0] <= LAST_POSITION
        and stop.isdisjoint(lowered_words(document, each))
    ]
    occurrences = sum(len(each.starts) for each in found)
    compounds = sum(len(each.starts) for each in found if len(each.stems) > 1)
    boost = min(SIGMA, occurrences / (ALPHA * max(1, compounds)))
    unknown = log2(len(background.documents) + 1)
    weights = [background.idf(each.stems) if len(each.stems) == 1 else boost * unknown for each in found]
    return best_first(found, [len(each.starts) * weight for each, weight in zip(found, weights, strict=True)])


def yake(document: TaggedText, top: int) -> Ranking:
    """YAKE by its own package (Campos et al., 2020). Its scores are better if lower."""
    from yake import KeywordExtractor

    extractor = KeywordExtractor(lan=primary_language(document.lang), top=top)
    return [(phrase, 1 / (1 + score)) for phrase, score in extractor.extract_keywords(document.text)]


def _tfidf(candidates: list[Candidate], background: Background) -> Ranking:
    return best_first(candidates, [len(each.starts) * background.idf(each.stems) for each in candidates])
