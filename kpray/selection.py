"""Which keyphrases of a document are returned, and in which order: the options that all methods and commands share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict

import numpy as np
from pydantic import AfterValidator, Field

from kpray.document import Keyphrase
from kpray.errors import UserError
from kpray.settings import Settings, validate_settings
from kpray.text.occurrences import StemmedText
from kpray.text.stems import contains_phrase, stemmed_words

_DIGITS = 4  # similarities are rounded, so that the order does not depend on the last bits, which depend on the batch
_LISTS = ("vocabulary", "seeds", "stop_words")
_LONG_LIST = 20
# White space as Unicode defines it, and so patterns of JSON schemas; `str.strip` and `re` also count \x1c-\x1f.
_SPACE = re.compile(r"[^\S\x1c-\x1f]")
_EDGES = re.compile(rf"^{_SPACE.pattern}+|{_SPACE.pattern}+$")


def _phrase(text: str) -> str:
    text = _EDGES.sub("", text)
    if not text:
        raise ValueError("it should not be blank")
    return text


def _word(text: str) -> str:
    text = _phrase(text)
    if _SPACE.search(text):
        raise ValueError("it should be a single word")
    return text


Phrase = Annotated[str, AfterValidator(_phrase)]
Word = Annotated[str, AfterValidator(_word)]


class SelectionOptions(Settings):
    """Selection of the keyphrases that are returned."""

    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of diversity when phrases are chosen one after the other (maximal marginal relevance): 0 ranks by score
    alone; with higher values, a phrase that is similar to chosen ones comes later."""
    nested: Literal["keep", "drop"] = "keep"
    """What happens to a phrase that is a part of a better one, or contains it ("neural network" and "deep neural
    network")."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Minimum score of a phrase."""
    min_frequency: Annotated[int, Field(ge=0)] = 0
    """Minimum number of occurrences of a phrase in its document. With 1 or more, absent phrases are left out."""
    max_words: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of words of a phrase. If null, the method decides."""
    vocabulary: tuple[Phrase, ...] = ()
    """The only phrases that may be returned, in any inflection. On the command line and in YAML, a name that ends in
    .txt is a file with one phrase per line. If empty, any phrase."""
    seeds: tuple[Phrase, ...] = ()
    """Words or phrases that raise the phrases similar to them: the mean of the score and the similarity to the most
    similar seed becomes the score. A name that ends in .txt is a file, as in `vocabulary`."""
    stop_words: tuple[Word, ...] = ()
    """Words that no phrase may contain, besides the built-in ones. A name that ends in .txt is a file, as in
    `vocabulary`."""

    @classmethod
    def of(cls, settings: SelectionOptions) -> Self:
        """The options among the settings of a command. Files are read.

        Raises:
            UserError: a file cannot be read, or a line of it is wrong.
        """
        values = {name: getattr(settings, name) for name in SelectionOptions.model_fields}
        for name in _LISTS:
            values[name] = tuple(phrase for item in values[name] for phrase in _read_list(item, name))
        return validate_settings(cls, values, where="")


class SelectionKeywords(TypedDict, total=False):
    """`SelectionOptions` as keyword arguments of a function."""

    diversity: float
    nested: Literal["keep", "drop"]
    min_score: float
    min_frequency: int
    max_words: int | None
    vocabulary: Sequence[str]
    seeds: Sequence[str]
    stop_words: Sequence[str]


def options_from(keywords: Mapping[str, Any]) -> SelectionOptions:
    """Check options that were given in Python.

    Raises:
        UserError: names the option, its value and what it should be.
    """
    return validate_settings(SelectionOptions, keywords, where="")


def _read_list(item: str, name: str) -> Sequence[str]:
    """The phrases of a .txt file, or the phrase itself."""
    if not item.endswith(".txt"):
        return [item]
    try:
        text = Path(item).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(
            f"cannot read {item!r}: {reason}", where=name, fix="give a text file with one per line"
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


class Selection:
    """The options of a predictor, with what has to be computed only once from them.

    Args:
        options: the options.
        embeddings: whether `Explanation.embeddings` is wanted.
        support: whether `Explanation.support` is wanted.
    """

    def __init__(self, options: SelectionOptions, *, embeddings: bool = False, support: bool = False) -> None:
        self.options, self.embeddings, self.support = options, embeddings, support
        self.plain = options == SelectionOptions() and not embeddings
        self.stop_words = frozenset(word.lower() for word in options.stop_words)
        self.seed_vectors: np.ndarray | None = None
        """float32 [seeds, dimensions], of length 1, if the method computes them."""
        self._stemmed: dict[tuple[str, str], dict[tuple[str, ...], None]] = {}

    def vocabulary(self, lang: str) -> Collection[tuple[str, ...]]:
        """Stems of the vocabulary's phrases, each once."""
        return self._stems("vocabulary", self.options.vocabulary, lang).keys()

    def seeds(self, lang: str) -> Collection[tuple[str, ...]]:
        """Stems of the seeds, each once."""
        return self._stems("seeds", self.options.seeds, lang).keys()

    def _stems(self, name: str, phrases: Sequence[str], lang: str) -> dict[tuple[str, ...], None]:
        if (name, lang) not in self._stemmed:
            stemmed = (tuple(stemmed_words(phrase, lang)) for phrase in phrases)
            self._stemmed[name, lang] = {stems: None for stems in stemmed if stems}
        return self._stemmed[name, lang]

    def describe(self) -> dict[str, Any]:
        """The options that differ from their defaults, as JSON values; a long list is replaced by its checksum."""
        values: dict[str, Any] = {}
        for name, value in self.options.model_dump(mode="json", exclude_defaults=True).items():
            values[name] = value
            if isinstance(value, list) and len(value) > _LONG_LIST:
                checksum = hashlib.sha256("\n".join(value).encode("utf-8", "surrogatepass")).hexdigest()
                values[name] = f"{len(value)} entries, SHA-256 {checksum[:16]}"
        return {"selection": values} if values else {}


PLAIN = Selection(SelectionOptions())


def choose(
    scores: np.ndarray,
    stems: Sequence[Sequence[str]],
    frequencies: Callable[[], Sequence[int]],
    options: SelectionOptions,
    top: int,
    *,
    vectors: np.ndarray | None = None,
    seeded: np.ndarray | None = None,
) -> tuple[list[int], np.ndarray]:
    """Choose phrases of one document by score, frequency, nesting and diversity.

    Args:
        scores: float64 [phrases], in [0, 1], best first.
        stems: stems of each phrase.
        frequencies: returns the number of occurrences of each phrase.
        options: the options; `vocabulary`, `stop_words` and `max_words` have no effect here.
        top: maximum number of phrases.
        vectors: float32 [phrases, dimensions], for the similarity of phrases; None: they are compared by stems.
        seeded: float64 [phrases], similarity of each phrase to the most similar seed, in [0, 1]; None: no seeds.

    Returns:
        Indices of the chosen phrases in order, and all scores, in which seeds are taken into account.
    """
    order = np.arange(len(scores))
    if seeded is not None:
        scores = np.round((scores + seeded) / 2, _DIGITS)
        order = np.argsort(-scores, kind="stable")
    kept = [index for index in order.tolist() if scores[index] >= options.min_score]
    if options.min_frequency:
        counts = frequencies()
        kept = [index for index in kept if counts[index] >= options.min_frequency]
    if options.nested == "drop":
        kept = without_nested(kept, stems)
    if options.diversity and len(kept) > 1:
        units = unit_vectors(stem_vectors(stems)[kept] if vectors is None else vectors[kept])
        chosen = maximal_marginal_relevance(scores[kept], units, options.diversity, top)
        kept = [kept[index] for index in chosen]
    return kept[:top], scores


def without_nested(ranked: Sequence[int], stems: Sequence[Sequence[str]]) -> list[int]:
    """Leave out each phrase that is a part of a better one, or contains it.

    Args:
        ranked: indices of phrases, best first.
        stems: stems of each phrase.
    """
    kept: list[int] = []
    for index in ranked:
        phrase = stems[index]
        if not any(contains_phrase(stems[other], phrase) or contains_phrase(phrase, stems[other]) for other in kept):
            kept.append(index)
    return kept


def maximal_marginal_relevance(scores: np.ndarray, vectors: np.ndarray, diversity: float, top: int) -> list[int]:
    """Order phrases by maximal marginal relevance.

    The best phrase comes first. The next one is always the phrase with the highest
    (1 - diversity) * score - diversity * (highest cosine to a chosen phrase).

    Carbonell & Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries",
    SIGIR 1998; for keyphrases: Bennani-Smires et al., "Simple Unsupervised Keyphrase Extraction using Sentence
    Embeddings" (EmbedRank++), CoNLL 2018.

    Args:
        scores: float64 [phrases], best first.
        vectors: float [phrases, dimensions], of length 1.
        diversity: weight of diversity, in [0, 1].
        top: maximum number of phrases.

    Returns:
        Indices of at most `top` phrases.
    """
    chosen: list[int] = []
    nearest = np.full(len(scores), -np.inf)
    waiting = np.ones(len(scores), dtype=bool)
    while len(chosen) < min(top, len(scores)):
        gain = (1 - diversity) * scores - diversity * nearest if chosen else scores
        best = int(np.where(waiting, gain, -np.inf).argmax())
        chosen.append(best)
        waiting[best] = False
        nearest = np.maximum(nearest, np.round(vectors @ vectors[best], _DIGITS))
    return chosen


def stem_vectors(stems: Sequence[Sequence[str]]) -> np.ndarray:
    """Bags of stems: float32 [phrases, stems], 1 for each stem of a phrase."""
    columns = {stem: column for column, stem in enumerate(dict.fromkeys(stem for phrase in stems for stem in phrase))}
    vectors = np.zeros((len(stems), len(columns)), dtype=np.float32)
    for row, phrase in enumerate(stems):
        vectors[row, [columns[stem] for stem in phrase]] = 1
    return vectors


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors divided by their lengths; vectors of zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)
    return divided


def similarity_to_seeds(stems: Sequence[Sequence[str]], seeds: Collection[Sequence[str]]) -> np.ndarray:
    """Highest cosine of each phrase's bag of stems to a seed's: float64 [phrases]; 0 without seeds."""
    if not seeds or not stems:
        return np.zeros(len(stems))
    vectors = unit_vectors(stem_vectors([*stems, *seeds]))
    found: np.ndarray = (vectors[: len(stems)] @ vectors[len(stems) :].T).max(axis=1).astype(np.float64)
    return found


def select_generated(
    keyphrases: Sequence[Keyphrase], text: str, lang: str, selection: Selection, top: int
) -> list[Keyphrase]:
    """Select among the phrases that a model generated or labelled; the similarity of two is that of their stems.

    Args:
        keyphrases: all phrases, best first, without offsets.
        text: `Document.text`.
        lang: language of the document.
        selection: the options.
        top: maximum number of phrases.

    Returns:
        The selected phrases with offsets, in order.
    """
    options = selection.options
    if selection.plain:
        return with_offsets(keyphrases[:top], text, lang)
    vocabulary = selection.vocabulary(lang)
    allowed: list[Keyphrase] = []
    for phrase in keyphrases:
        words = phrase.text.lower().split()
        short = options.max_words is None or len(words) <= options.max_words
        known = not options.vocabulary or tuple(stemmed_words(phrase.text, lang)) in vocabulary
        if short and known and selection.stop_words.isdisjoint(words):
            allowed.append(phrase)
    allowed = with_offsets(allowed, text, lang)
    stems = [stemmed_words(phrase.text, lang) for phrase in allowed]
    chosen, scores = choose(
        np.array([phrase.score for phrase in allowed], dtype=np.float64),
        stems,
        lambda: [len(phrase.offsets) for phrase in allowed],
        options,
        top,
        seeded=similarity_to_seeds(stems, selection.seeds(lang)) if options.seeds else None,
    )
    return [replace(allowed[index], score=float(scores[index])) for index in chosen]


def with_offsets(keyphrases: Sequence[Keyphrase], text: str, lang: str) -> list[Keyphrase]:
    """Keyphrases with the offsets of their occurrences.

    Args:
        keyphrases: of any method.
        text: `Document.text`.
        lang: language of the document.
    """
    phrases = [stemmed_words(keyphrase.text, lang) if keyphrase.present else [] for keyphrase in keyphrases]
    offsets = StemmedText.of(text, lang).find(phrases)
    return [replace(keyphrase, offsets=found) for keyphrase, found in zip(keyphrases, offsets, strict=True)]
