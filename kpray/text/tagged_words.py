"""English words with part-of-speech tags, mended where taggers often err: titles, capitals, missing nouns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kpray.text.general_words import STOP_WORDS
from kpray.text.verb_forms import ADVERBS, BASES, NUMBERS, PURE_VERBS, THIRD_PERSONS, VERBS, is_past
from kpray.text.words import Words

TITLE_WORDS = 4  # a sentence of fewer long words is not a title in capitals: it may be a name
LONG_WORD = 4  # titles write shorter words in small letters, and some longer stop words
DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_VERBS = PURE_VERBS | VERBS
_FINITE = ("VBZ", "VBP", "VBD", "MD")
_OFTEN_WRONG = frozenset("NNP JJ VBZ VBG VBD VB VBP WRB RB RBR RBS CD FW UH SYM LS $ #".split())
_MODIFIERS = ("JJ", "RB", "VBN", "VBG")
_VERB_TAGS = frozenset("VBZ VBG VBD VB VBP".split())
_AFTER_NOUN = ("", ".", ",", ":", "CC", "IN", *_FINITE)
#: Abbreviations that do not end a sentence before a capital.
NO_SENTENCE_END = frozenset("i.e e.g cf vs viz resp approx dr mr mrs ms prof fig eq st no vol".split())


@dataclass(frozen=True, slots=True)
class Tagged:
    """Words with their tags.

    Attributes:
        words: the words.
        lowered: the words in lower case.
        tags: Penn Treebank tags.
        starts: index of the first word of each sentence; an abbreviation does not end a sentence.
        first_words: the starts, to look one up.
        plain: for each word, whether capitals have a meaning in its sentence, which is no title and not all capitals.
        shouted: for each word, whether its sentence is written in capitals only.
    """

    words: Words
    lowered: list[str]
    tags: list[str]
    starts: list[int]
    first_words: frozenset[int]
    plain: list[bool]
    shouted: list[bool]


@dataclass(frozen=True, slots=True)
class Untagged:
    """Words of an English text before they are tagged.

    Attributes:
        words: the words.
        lowered: the words in lower case.
        starts: as in `Tagged`.
        capitals: how each sentence uses capitals, see `_capitals`.
        sentences: what must be tagged: the words of each sentence, then those of titles and capitals in lower case.
    """

    words: Words
    lowered: list[str]
    starts: list[int]
    capitals: list[str]
    sentences: list[list[str]]

    def tagged(self, found: Sequence[list[str]]) -> Tagged:
        """The words with their tags.

        Args:
            found: tags of `sentences`.
        """
        number = len(self.capitals)
        sentences, in_small = self.sentences[:number], self.sentences[number:]
        small = zip(in_small, found[number:], strict=True)
        tags: list[str] = []
        for sentence_tags, use in zip(found[:number], self.capitals, strict=True):
            if use == "plain":
                tags += sentence_tags
            else:
                words_in_small, tags_in_small = next(small)
                shouts = use == "shouted"
                tags += tags_in_small if shouts else _title_tags(words_in_small, sentence_tags, tags_in_small)
        plain = [use == "plain" for sentence, use in zip(sentences, self.capitals, strict=True) for _ in sentence]
        shouted = [use == "shouted" for sentence, use in zip(sentences, self.capitals, strict=True) for _ in sentence]
        tagged = Tagged(self.words, self.lowered, tags, self.starts, frozenset(self.starts), plain, shouted)
        _mend_tags(tagged)
        return tagged


def divide(words: Words) -> Untagged:
    """Divide the words of an English text into sentences for the tagger."""
    texts, lowered = words.texts, [word.lower() for word in words.texts]
    starts = [start for start in words.sentences if not _continues(start, words, lowered)]
    bars = [index for index, text in enumerate(texts) if text == "|"]
    if bars:  # cells of a table
        starts = sorted({*starts, *bars, *(bar + 1 for bar in bars if bar + 1 < len(texts))})
    ranges = list(zip(starts, [*starts[1:], len(texts)], strict=False))
    sentences = [texts[first:last] for first, last in ranges]
    capitals = list(map(_capitals, sentences))
    in_small = [lowered[first:last] for (first, last), use in zip(ranges, capitals, strict=True) if use != "plain"]
    return Untagged(words, lowered, starts, capitals, [*sentences, *in_small])


def _continues(start: int, words: Words, lowered: list[str]) -> bool:
    """Whether the dot before a sentence ends an abbreviation: "e.g. IL-2", "the U.S. Army", "Dr. Who"."""
    if start < 2 or words.texts[start - 1] != "." or words.spans[start][0] - words.spans[start - 1][1] > 1:
        return False
    before = words.texts[start - 2]
    if len(before) == 1 and before.isupper() and words.texts[start][0].isupper():
        # An initial follows another name or starts the sentence: "Philip J. Fry".
        return start - 2 in words.sentences or words.texts[start - 3][0].isupper()
    return lowered[start - 2] in NO_SENTENCE_END or (
        before.isupper() and DOTTED.fullmatch(before) is not None and lowered[start] not in STOP_WORDS
    )


def _capitals(sentence: list[str]) -> str:
    """How a sentence uses capitals: `shouted` (all letters), `title` (all long words) or `plain`."""
    names = [word for word in sentence if len(word) >= LONG_WORD and word.isalpha() and word not in STOP_WORDS]
    if any(map(str.islower, names)):
        return "plain"
    alphabetic = [word for word in sentence if word.isalpha() and len(word) > 1]
    if len(alphabetic) > 2 and all(map(str.isupper, alphabetic)):
        return "shouted"
    return "title" if len(names) >= TITLE_WORDS else "plain"


def _title_tags(lowered: list[str], tags: list[str], small: list[str]) -> list[str]:
    """Tags of a title in capitals, in which a tagger takes verbs for names."""
    mended = list(tags)
    for index, (tag, lower) in enumerate(zip(tags, small, strict=True)):
        before, after = small[index - 1] if index else "", (tags[index + 1 : index + 2] or [""])[0]
        verb = (
            lower in ("VBZ", "MD")
            or (lower in ("VBP", "NN") and before == "NNS" and lowered[index] in _VERBS)
            or (lower == "NNS" and before.startswith("NN") and THIRD_PERSONS.get(lowered[index]) in _VERBS)
            or (lower == "VBD" and not after.startswith("NN"))
            or (lower == "VBG" and not index)
        )
        if tag.startswith("NN") and verb:
            mended[index] = lower if lower.startswith(("V", "M")) else "VBZ"
        elif tag == "NNP" and lower == "NNS":
            mended[index] = "NNPS"
        elif tag == "VBD" and after.startswith("NN"):
            mended[index] = "VBN"
    return mended


def _mend_tags(tagged: Tagged) -> None:
    """Find nouns that the tagger takes for other parts of speech; changes the tags in place."""
    texts, lowered, tags, plain = tagged.words.texts, tagged.lowered, tagged.tags, tagged.plain
    first_words = tagged.first_words
    names = {
        text for index, text in enumerate(texts) if plain[index] and text[0].isupper() and index not in first_words
    }
    for index, tag in enumerate(tags):
        if tag not in _OFTEN_WRONG:
            continue
        text, word = texts[index], lowered[index]
        before = "" if index in first_words else tags[index - 1]
        after = tags[index + 1] if index + 1 < len(tags) and index + 1 not in first_words else ""
        if tag == "NNP":
            if not before and after and plain[index] and text not in names and _is_plural(word, lowered[index + 1]):
                tags[index] = "NNS"  # "Volcanoes erupt"
        elif tag == "JJ":
            subject = before in ("", "DT", "PRP$", "JJ", "NN", "NNP") and after in _FINITE
            head = before == "DT" and (
                after in ("IN", ".") or (after == "CC" and (*tags[index + 2 : index + 3], "")[0] not in _MODIFIERS)
            )
            if subject or head or (before.startswith("NN") and not after):
                tags[index] = "NN"  # "mental arithmetic is taught", "read the manual and"
        elif tag not in _VERB_TAGS:
            if _is_unknown(word, tag):
                tags[index] = "NNP" if text[0].isupper() and before else "NN"
        elif text in names and plain[index] and not text.isupper():
            tags[index] = "NNP"  # "than Windows 10", "Boeing 787 deliveries"
        elif (
            before.startswith(("NN", "JJ"))
            and tag != "VBG"
            and after in _FINITE
            and word not in STOP_WORDS
            and tag != "VBD"
        ):
            tags[index] = "NNS" if tag == "VBZ" else "NN"  # "US troops left", "the WHO report warned"
        elif tag == "VBZ":
            verb_follows = after in ("VBN", "VB") or (after and lowered[index + 1] in BASES)
            if (
                before.startswith(("NN", "JJ"))
                and verb_follows
                and word not in THIRD_PERSONS
                and word not in STOP_WORDS
            ):
                tags[index] = "NNS"  # "influenza A viruses mutate"
        elif tag == "VBG":
            bare = index < 2 or tags[index - 2] not in ("DT", "PRP$", "JJ", "NN")
            if before == "NN" and after in _AFTER_NOUN and bare:
                tags[index] = "NN"  # "decision making under uncertainty"
            elif not before and after.startswith("NN") and (index + 2 == len(tags) or index + 2 in first_words):
                tags[index] = "NN"  # an item of two words: "Frying pans"
        elif tag == "VBD":
            if (before in ("DT", "PRP$") and after.startswith("NN")) or not (is_past(word) or word in BASES):
                tags[index] = "NN"  # "a rose collection", "lowers blood sugar"
            elif before in ("VB", "IN") and after.startswith("NN"):
                tags[index] = "VBN"  # "must report embedded emissions"
        elif word.endswith("s") and word not in BASES and word not in STOP_WORDS:
            tags[index] = "NNS"  # no base form
        elif (
            after.startswith("NN")
            and word not in BASES
            and (before in ("", "CC") or (before == "NNS" and lowered[index - 1] in THIRD_PERSONS))
        ):
            tags[index] = "NN"  # "and chest X-rays", "caffeine blocks adenosine receptors"


def _is_plural(word: str, following: str) -> bool:
    return word.endswith("s") and word[-2:] not in ("ss", "us", "is") and following not in THIRD_PERSONS


def _is_unknown(word: str, tag: str) -> bool:
    """Whether a word cannot be what its tag says: an adverb, a number, or a symbol."""
    if len(word) < LONG_WORD or not word.isalpha() or word in STOP_WORDS or word in BASES or is_past(word):
        return False
    if tag == "WRB":
        return not word.startswith(("wh", "how"))
    return word not in NUMBERS if tag[:2] != "RB" else not word.endswith("ly") and word not in ADVERBS
