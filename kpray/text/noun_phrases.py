"""English noun phrases by the rule `extended`: names and terms stay whole, and a text with content words has some.

Letters of the grammar, besides those of `kpray.text.candidates`:

    L a capital letter ("vitamin D"), C a short number ("type 2 diabetes"), p a possessive ending ("Moore's law"),
    h a dash between two words ("Erdős–Rényi graph"), a the last dot of an abbreviation ("U.S.")
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from kpray.text.general_words import (
    EPONYM_NOUNS,
    GENERAL_MODIFIERS,
    GENERAL_NOUNS,
    GENERAL_TERMS,
    NEVER_IN_TERMS,
    NUMBERED_PARTS,
    STOP_WORDS,
    VERBS,
)
from kpray.text.tagging import Tagger
from kpray.text.words import Words

MAX_WORDS = 5
PART_WORDS = 3  # a longer phrase gives its last words
MIN_CHARACTERS = 3
MAX_CHARACTERS = 100  # longer "words" are data, not language
TITLE_WORDS = 4  # a sentence of fewer long words is not a title in capitals: it may be a name
LONG_WORD = 4  # titles write shorter words in small letters, and some longer stop words

_GRAMMAR = re.compile(r"(?:[NJR]|D(?=[NJ])|La?(?=N)|(?<=N)[CLp](?=[NJ])|(?<=[NJ])h(?=[NJ])|(?<=N)a)*Na?")
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,2})?")
_THIRD_PERSON = (("s", ""), ("es", ""), ("ies", "y"))
#: Abbreviations of running text. None of them ends a sentence before a capital, apart from `etc`, `a.m` and `p.m`.
_NO_PHRASE = frozenset("i.e e.g a.m p.m et al etc cf vs viz resp approx ibid ie eg".split())
_NO_SENTENCE_END = frozenset("i.e e.g cf vs viz resp approx dr mr mrs ms prof fig eq st no vol".split())
#: Stop words that are written in capitals for emphasis or in logic, and are then no acronyms.
_EMPHASIS = frozenset(
    "a all and any but by for from if in no nor not of off on only or some than that the then these this those to too "
    "under until very with".split()
)


@dataclass(frozen=True, slots=True)
class _Tagged:
    """Words with their tags.

    Attributes:
        words: the words.
        lowered: the words in lower case.
        tags: Penn Treebank tags.
        starts: index of the first word of each sentence; an abbreviation does not end a sentence.
        plain: for each word, whether capitals have a meaning in its sentence, which is no title and not all capitals.
    """

    words: Words
    lowered: list[str]
    tags: list[str]
    starts: list[int]
    plain: list[bool]


def noun_phrases(words: Words, tagger: Tagger) -> list[tuple[int, int]]:
    """Find the noun phrases.

    Args:
        words: words of an English text.
        tagger: tagger for English.

    Returns:
        First word and one past the last word of each phrase, in text order. Two phrases never overlap.
    """
    tagged = _tag(words, tagger)
    single = Counter(tagged.lowered)
    letters = _letters(tagged, single)
    pairs = Counter(zip(tagged.lowered, tagged.lowered[1:], strict=False))
    spans: list[tuple[int, int]] = []
    general: list[tuple[int, int]] = []
    for first, first_word, end in _runs(letters, tagged):
        whole = (first_word, end)
        start = next(
            (index for index in range(first_word, end) if not _cut(index, end, first, tagged, single, pairs)), end
        )
        if all(word in GENERAL_NOUNS or word in GENERAL_MODIFIERS for word in tagged.lowered[start:end]) and not (
            start + 1 < end and (_is_term(start, tagged) or _recurs(start, end, pairs, tagged.lowered))
        ):
            general.append(whole)
        elif letters[start] == "L" or tagged.lowered[start] not in STOP_WORDS or _is_acronym(start, tagged):
            spans += _parts(start, end, letters, tagged)
    if spans:
        return spans
    kept = [part for start, end in general for part in _parts(start, end, letters, tagged)]
    return kept or _content_words(tagged)


def _runs(letters: str, tagged: _Tagged) -> Iterator[tuple[int, int, int]]:
    """First word of the sentence, first word and one past the last word of each match of the grammar."""
    for first, last in zip(tagged.starts, [*tagged.starts[1:], len(letters)], strict=False):
        for match in _GRAMMAR.finditer(letters, first, last):
            start, end = match.span()
            if end < last and _names_a_kind(start, end, letters, tagged):
                end += 1  # "vitamin D", "Windows 10"
            yield first, start, end


def _names_a_kind(start: int, end: int, letters: str, tagged: _Tagged) -> bool:
    """Whether the letter or number after a phrase belongs to it."""
    word = tagged.words.texts[end - 1]
    if letters[end] not in "LC" or tagged.lowered[end - 1] in NUMBERED_PARTS or not tagged.plain[end]:
        return False
    if letters[end] == "C":
        return tagged.tags[end - 1] == "NNP" and word[0].isupper() and end - 1 not in tagged.starts
    # "a graph G" names an object, "vitamin D" a kind.
    return start == 0 or tagged.tags[start - 1] not in ("DT", "PRP$", "VB", "VBN")


def _cut(
    index: int, end: int, first: int, tagged: _Tagged, single: Counter[str], pairs: Counter[tuple[str, str]]
) -> bool:
    """Whether the word at the start of a phrase is a general modifier that is not part of a name or term."""
    word = tagged.lowered[index]
    if word not in GENERAL_MODIFIERS:
        return False
    if index + 1 == end:
        return True
    if _is_term(index, tagged):
        return False
    if tagged.plain[index] and tagged.words.texts[index][0].isupper() and tagged.tags[index].startswith("NNP"):
        following = tagged.words.texts[index + 1]
        if index > first or (following[0].isupper() and tagged.tags[index + 1].startswith("NNP")):
            return False
    pair = (word, tagged.lowered[index + 1])
    return word in NEVER_IN_TERMS or not (pairs[pair] > 1 and 2 * pairs[pair] > single[pair[1]])


def _is_term(index: int, tagged: _Tagged) -> bool:
    return f"{tagged.lowered[index]} {tagged.lowered[index + 1]}" in GENERAL_TERMS


def _recurs(start: int, end: int, pairs: Counter[tuple[str, str]], lowered: list[str]) -> bool:
    return min(pairs[lowered[index], lowered[index + 1]] for index in range(start, end - 1)) > 1


def _parts(start: int, end: int, letters: str, tagged: _Tagged) -> list[tuple[int, int]]:
    """A phrase, or the best parts of a phrase that is too long."""
    if end - start <= MAX_WORDS:
        return [(start, end)]
    texts = tagged.words.texts
    # Capitals change inside "Apple iPhone Pro Max Titanium leather case".
    edges = [start, end]
    if tagged.plain[start]:
        capital = [text != text.lower() or not text.isalpha() for text in texts[start:end]]
        edges[1:1] = [start + i for i in range(1, end - start) if capital[i] != capital[i - 1]]
    parts = []
    for first, last in pairwise(edges):
        long = last - first > MAX_WORDS
        if long and texts[first] != texts[first].lower() and letters[first + PART_WORDS - 1] in "NC":
            parts.append((first, first + PART_WORDS))  # a name starts with its most important words
        if "N" in letters[first:last]:
            parts.append((last - PART_WORDS if long else first, last))
    return parts if len(parts) <= 2 else [(end - PART_WORDS, end)]


def _content_words(tagged: _Tagged) -> list[tuple[int, int]]:
    """Each sequence of words without stop words, for a text without nouns."""
    content = "".join(
        "W" if word not in STOP_WORDS and word not in _NO_PHRASE and len(word) > 1 and is_word(word) else " "
        for word in tagged.lowered
    )
    found = []
    for first, last in zip(tagged.starts, [*tagged.starts[1:], len(content)], strict=False):
        for match in re.finditer(r"W+", content[first:last]):
            start, end = first + match.start(), first + match.end()
            found.append((start, end) if end - start <= MAX_WORDS else (end - PART_WORDS, end))
    return [(start, end) for start, end in found if not all(map(str.isdigit, tagged.lowered[start:end]))]


def _tag(words: Words, tagger: Tagger) -> _Tagged:
    texts, lowered = words.texts, [word.lower() for word in words.texts]
    starts = [start for start in words.sentences if not _continues(start, words, lowered)]
    tags: list[str] = []
    plain: list[bool] = []
    for first, last in zip(starts, [*starts[1:], len(texts)], strict=False):
        sentence = texts[first:last]
        found = tagger.tag_sentence(sentence)
        capitals = _capitals(sentence)
        if capitals != "plain":
            small = tagger.tag_sentence(lowered[first:last])
            found = small if capitals == "shouted" else _title_tags(lowered[first:last], found, small)
        tags += found
        plain += [capitals == "plain"] * len(sentence)
    return _Tagged(words, lowered, tags, starts, plain)


def _continues(start: int, words: Words, lowered: list[str]) -> bool:
    """Whether the dot before a sentence ends an abbreviation: "e.g. IL-2", "the U.S. Army", "Dr. Who"."""
    if start < 2 or words.texts[start - 1] != "." or words.spans[start][0] - words.spans[start - 1][1] > 1:
        return False
    before = words.texts[start - 2]
    if len(before) == 1 and before.isupper() and words.texts[start][0].isupper():
        # An initial follows another name or starts the sentence: "Philip J. Fry".
        return start - 2 in words.sentences or words.texts[start - 3][0].isupper()
    return lowered[start - 2] in _NO_SENTENCE_END or (
        before.isupper() and _DOTTED.fullmatch(before) is not None and lowered[start] not in STOP_WORDS
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
            or (lower in ("VBP", "NN") and before == "NNS" and lowered[index] in VERBS)
            or (lower == "NNS" and before.startswith("NN") and _third_person(lowered[index]))
            or (lower == "VBD" and not after.startswith("NN"))
            or (lower == "VBG" and not index)
        )
        if tag.startswith("NN") and verb:
            mended[index] = lower if lower.startswith(("V", "M")) else "VBZ"
        elif tag == "VBD" and after.startswith("NN"):
            mended[index] = "VBN"
    return mended


def _letters(tagged: _Tagged, single: Counter[str]) -> str:
    letters = [_letter(index, tagged) for index in range(len(tagged.tags))]
    lowered = tagged.lowered
    owned = Counter(
        (lowered[index - 1], lowered[index + 1])
        for index, letter in enumerate(letters)
        if letter == "p" and 0 < index < len(letters) - 1
    )
    for index, letter in enumerate(letters):
        if letter in "NJ" and _is_verb(index, letters, tagged):
            letters[index] = "x"
        elif letter == "p" and not _is_compound_possessive(index, letters, tagged, single, owned):
            letters[index] = "."
        elif letter == "C" and (
            index == 0 or lowered[index - 1] in NUMBERED_PARTS or tagged.tags[index - 1] in ("NNS", "NNPS")
        ):
            letters[index] = "x"
    return "".join(letters)


def _letter(index: int, tagged: _Tagged) -> str:
    word, lowered, tag = tagged.words.texts[index], tagged.lowered[index], tagged.tags[index]
    if lowered in ("'s", "’s"):
        return "p"
    if word == "–" or word == ".":
        return _joint(word, index, tagged.words)
    if not is_word(word) or lowered in _NO_PHRASE:
        return "."
    if len(word) == 1 and word.isupper():
        return "s" if word in "AI" and (tag in ("DT", "PRP") or index in tagged.words.sentences) else "L"
    if _NUMBER.fullmatch(word):
        return "C"
    if _is_acronym(index, tagged):
        return "N"
    # A tagger gives some words at the start of a text the tag of a symbol.
    noun = tag.startswith("NN") or (tag in ("$", "#", "SYM") and word.isalpha())
    if len(word) < MIN_CHARACTERS:
        letters_and_digits = word[1:] != lowered[1:] or (word != lowered and not word.isalpha())
        return "N" if letters_and_digits and (noun or tag in ("CD", "JJ")) and tagged.plain[index] else "s"
    named = word != lowered and any(map(str.isdigit, word))  # IL-2, 256GB
    if noun or (named and tag in ("CD", "JJ")):
        return "N"
    return {"JJ": "J", "JJR": "R", "JJS": "R", "VBN": "D"}.get(tag, "x")


def _joint(word: str, index: int, words: Words) -> str:
    """Letter of a dash or dot: whether it belongs to the words on both sides, or to the word before."""
    if index == 0 or words.spans[index - 1][1] != words.spans[index][0]:
        return "."
    if word == ".":
        before = words.texts[index - 1]
        if len(before) == 1:  # "E. coli", "J. Smith"
            return "a" if before.isupper() and words.texts[index + 1 : index + 2] not in ([], ["."]) else "."
        return "a" if before.isupper() and _DOTTED.fullmatch(before) else "."
    joined = index + 1 < len(words.texts) and words.spans[index + 1][0] == words.spans[index][1]
    return "h" if joined else "."


def _is_acronym(index: int, tagged: _Tagged) -> bool:
    """Whether a stop word is written as an acronym: the IT department, the WHO, a CAN bus."""
    word, lowered = tagged.words.texts[index], tagged.lowered[index]
    if not tagged.plain[index] or len(word) < 2 or not word.isupper() or lowered in _EMPHASIS:
        return False
    if lowered not in STOP_WORDS:
        return False
    tags = tagged.tags
    after = tags[index + 1] if index + 1 < len(tags) else ""
    return tags[index].startswith("NN") or (index > 0 and tags[index - 1] == "DT") or after.startswith("NN")


def _is_verb(index: int, letters: list[str], tagged: _Tagged) -> bool:
    """Whether a word that the tagger takes for a noun is the verb of the sentence."""
    word, tag = tagged.lowered[index], tagged.tags[index]
    if index == 0 or letters[index - 1] not in "NJL" or (tagged.plain[index] and word != tagged.words.texts[index]):
        return False
    if tag != "NNS":  # "solar panels age", "plastics harm fish"
        return tagged.tags[index - 1] == "NNS" and word in VERBS
    if not _third_person(word):
        return False
    # "SARS-CoV-2 binds ACE2", "the pump drives a fan"
    before, after = tagged.words.texts[index - 1], (tagged.words.texts[index + 1 : index + 2] or [""])[0]
    determined = (tagged.tags[index + 1 : index + 2] or [""])[0] in ("DT", "PRP$", "PRP", "CD", "TO")
    return determined or (before != before.lower() and after != after.lower() and tagged.plain[index])


def _third_person(word: str) -> bool:
    return any(word.endswith(end) and word.removesuffix(end) + base in VERBS for end, base in _THIRD_PERSON)


def _is_compound_possessive(
    index: int, letters: list[str], tagged: _Tagged, single: Counter[str], owned: Counter[tuple[str, str]]
) -> bool:
    """Whether a possessive names a kind (Parkinson's disease) and not an owner (the company's profits)."""
    if index == 0 or index + 1 >= len(letters) or letters[index - 1] != "N" or letters[index + 1] not in "NJ":
        return False
    owner, noun = tagged.lowered[index - 1], tagged.lowered[index + 1]
    if noun in EPONYM_NOUNS and tagged.words.texts[index - 1] != owner:
        return True
    if (index > 1 and tagged.tags[index - 2] in ("DT", "PRP$")) or owner in GENERAL_NOUNS:
        return False
    return 1 < owned[owner, noun] == single[owner]  # the owner occurs with this noun and never elsewhere


def is_word(word: str) -> bool:
    """Whether a piece of text is a word.

    The Penn Treebank's symbols for brackets, such as -LRB-, have letters but are not words.
    """
    return len(word) <= MAX_CHARACTERS and any(map(str.isalnum, word)) and not (word[0] == word[-1] == "-")
