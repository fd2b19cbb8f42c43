"""A tagged document and its candidate phrases, which all baselines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kpray.document import Document
from kpray.text.candidates import find_candidates
from kpray.text.general_words import PAPER_STOP_WORDS
from kpray.text.languages import primary_language, stop_words
from kpray.text.noun_phrases import is_word
from kpray.text.stems import stem_word
from kpray.text.tagging import Tagger

Stems = tuple[str, ...]
Ranking = list[tuple[str, float]]  # phrases with their scores, best first


@dataclass(frozen=True, slots=True)
class Candidate:
    """All occurrences of one sequence of stems.

    Attributes:
        text: the first occurrence as written.
        stems: stem of each word.
        starts: index of the first word of each occurrence, in text order.
    """

    text: str
    stems: Stems
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A document, prepared for every baseline.

    Attributes:
        text: title and body.
        lang: language of the document.
        spans: (start, end) character offsets of each word.
        lowered: each word, lower-cased. Punctuation marks are words, too.
        stems: stem of each word.
        sentences: first word and one past the last word of each sentence.
        content: whether each word is a noun or an adjective; in other languages than English, a word of a candidate.
        phrases: noun phrases by the grammar of SAMRank and EmbedRank, in order of their first occurrence.
    """

    text: str
    lang: str
    spans: list[tuple[int, int]]
    lowered: list[str]
    stems: list[str]
    sentences: list[tuple[int, int]]
    content: list[bool]
    phrases: list[Candidate]

    def content_stems(self) -> list[str]:
        """The stems of the content words, in text order."""
        return [stem for stem, content in zip(self.stems, self.content, strict=True) if content]

    def character_spans(self, candidate: Candidate) -> list[tuple[int, int]]:
        """Character offsets of each occurrence of a candidate."""
        last = len(candidate.stems) - 1
        return [(self.spans[start][0], self.spans[start + last][1]) for start in candidate.starts]


def tag_text(document: Document, tagger: Tagger) -> TaggedText:
    """Split, tag and stem a document, and find its noun phrases.

    Raises:
        RejectedDocument: kpray has no words for the language.
    """
    text, lang = document.text, document.lang
    words, found = find_candidates(text, lang, "paper", tagger)
    spans = [(start, end) for start, end in found.tolist()]
    if primary_language(lang) == "en":
        content = [
            is_word(word) and tag.startswith(("NN", "JJ"))
            for word, tag in zip(words.texts, tagger.tag(words), strict=True)
        ]
    else:
        inside = {index for start, end in spans for index in range(start, end)}
        content = [index in inside for index in range(len(words.texts))]
    stems = [stem_word(word, lang) for word in words.texts]
    ends = [*words.sentences[1:], len(words.texts)]
    return TaggedText(
        text=text,
        lang=lang,
        spans=words.spans,
        lowered=[word.lower() for word in words.texts],
        stems=stems,
        sentences=list(zip(words.sentences, ends, strict=False)),
        content=content,
        phrases=_by_stems(text, words.spans, stems, spans),
    )


def ngrams(document: TaggedText, longest: int) -> list[Candidate]:
    """Candidates of 1 to `longest` words inside one sentence, without punctuation."""
    return _by_stems(document.text, document.spans, document.stems, _ngram_spans(document, longest))


def stop_words_of(lang: str) -> frozenset[str]:
    """Stop words, lower-case: the list of SAMRank's authors for English, kpray's for other languages."""
    language = primary_language(lang)
    return PAPER_STOP_WORDS if language == "en" else stop_words(language)


def lowered_words(document: TaggedText, candidate: Candidate) -> list[str]:
    """The words of the first occurrence of a candidate, lower-cased."""
    return document.lowered[candidate.starts[0] : candidate.starts[0] + len(candidate.stems)]


def best_first(candidates: Iterable[Candidate], scores: Iterable[float]) -> Ranking:
    """Candidates by their scores. Equal scores keep the order of the text."""
    scored = [(candidate.text, float(score)) for candidate, score in zip(candidates, scores, strict=True)]
    return sorted(scored, key=lambda each: -each[1])


def _ngram_spans(document: TaggedText, longest: int) -> Iterator[tuple[int, int]]:
    for first, last in document.sentences:
        for start in range(first, last):
            for end in range(start + 1, min(start + longest, last) + 1):
                if not is_word(document.lowered[end - 1]):
                    break
                yield start, end


def _by_stems(
    text: str, spans: list[tuple[int, int]], stems: list[str], found: Iterable[tuple[int, int]]
) -> list[Candidate]:
    """One candidate for each sequence of stems.

    Args:
        text: the document.
        spans: character offsets of each word.
        stems: stem of each word.
        found: first word and one past the last word of each occurrence, in text order.
    """
    starts: dict[Stems, list[int]] = {}
    for start, end in found:
        starts.setdefault(tuple(stems[start:end]), []).append(start)
    return [
        Candidate(" ".join(text[spans[at[0]][0] : spans[at[0] + len(key) - 1][1]].split()), key, tuple(at))
        for key, at in starts.items()
    ]
