"""English noun phrases by the rule `extended`: names and terms stay whole, and a text with content words has some.

Letters of the grammar, besides those of `kpray.text.candidates`:

    L a capital letter ("vitamin D"), C a short number ("type 2 diabetes"), p a possessive ending ("Moore's law"),
    h a dash between two words ("Erdős–Rényi graph"), a the last dot of an abbreviation ("U.S.")
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import pairwise

from kpray.text.acronyms import find_definitions
from kpray.text.general_words import (
    EPONYM_NOUNS,
    GENERAL_MODIFIERS,
    GENERAL_NOUNS,
    GENERAL_TERMS,
    NEVER_IN_TERMS,
    NUMBERED_PARTS,
    STOP_WORDS,
)
from kpray.text.tagged_words import DOTTED, NO_SENTENCE_END, Tagged
from kpray.text.verb_forms import THIRD_PERSONS
from kpray.text.verbs import find_verbs
from kpray.text.words import Words

MAX_WORDS = 5
PART_WORDS = 3  # a longer phrase gives its last words
MIN_CHARACTERS = 3
BRIEF = 50  # a text of fewer words cannot show by repetition what its terms are: nothing of them is cut
MAX_CHARACTERS = 100  # longer "words" are data, not language

_GRAMMAR = re.compile(r"(?:[NJR]|D(?=[NJ])|La?(?=N)|(?<=N)[CLp](?=[NJ])|(?<=[NJ])h(?=[NJ])|(?<=N)a)*Na?")
_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,2})?")
#: Abbreviations of running text. None of them ends a sentence before a capital, apart from `etc`, `a.m` and `p.m`.
_NO_PHRASE = frozenset("i.e e.g a.m p.m et al etc cf vs viz resp approx ibid ie eg n.b ca please".split())
_ABBREVIATIONS = _NO_PHRASE | NO_SENTENCE_END
_LETTERS = {"JJ": "J", "JJR": "R", "JJS": "R", "VBN": "D"}
#: Stop words that are written in capitals for emphasis or in logic, and are then no acronyms.
_EMPHASIS = frozenset(
    "a all and any but by for from if in no nor not of off on only or some than that the then these this those to too "
    "under until very with".split()
)


def noun_phrases(tagged: Tagged) -> list[tuple[int, int]]:
    """Find the noun phrases.

    Args:
        tagged: words of an English text.

    Returns:
        First word and one past the last word of each phrase, in text order. Two phrases never overlap.
    """
    words = tagged.words
    single = Counter(tagged.lowered)
    letters = _letters(tagged, single)
    pairs = Counter(zip(tagged.lowered, tagged.lowered[1:], strict=False))
    brief = len(words.texts) < BRIEF
    spans: list[tuple[int, int]] = []
    general: list[tuple[int, int]] = []
    for first, first_word, end in _runs(letters, tagged):
        whole = (first_word, end)
        start = next(
            (index for index in range(first_word, end) if not _cut(index, end, first, tagged, single, pairs)), end
        )
        if all(word in GENERAL_NOUNS or word in GENERAL_MODIFIERS for word in tagged.lowered[start:end]) and not (
            start + 1 < end and (brief or _is_term(start, tagged) or _recurs(start, end, pairs, tagged.lowered))
        ):
            general.append(whole)
        elif (
            letters[start] == "L"
            or tagged.lowered[start] not in STOP_WORDS
            or letters[start + 1 : start + 2] == "p"
            or _is_name_of_stop_word(start, tagged)
        ):
            spans += _parts(start, end, letters, tagged)
    if spans:
        return _with_expansions(spans, words.texts)
    kept = [part for start, end in general for part in _parts(start, end, letters, tagged)]
    return kept or _content_words(tagged)


def _with_expansions(spans: list[tuple[int, int]], texts: list[str]) -> list[tuple[int, int]]:
    """Join the parts of the expansion of an acronym: "Department of Energy (DOE)"."""
    expansions = deque(
        (start, end)
        for _, start, end in find_definitions(texts)
        if not STOP_WORDS.isdisjoint(word.lower() for word in texts[start:end])
    )
    joined: list[tuple[int, int]] = []
    for span in spans:
        start, end = span
        while expansions and expansions[0][1] <= span[0]:
            expansions.popleft()
        if expansions and expansions[0][0] < span[1]:
            start, end = min(span[0], expansions[0][0]), max(span[1], expansions[0][1])
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _is_name_of_stop_word(index: int, tagged: Tagged) -> bool:
    """The IT department, Down's syndrome."""
    return _is_acronym(index, tagged) or (
        index not in tagged.first_words and _is_name(index, tagged) and not tagged.words.texts[index].isupper()
    )


def _runs(letters: str, tagged: Tagged) -> Iterator[tuple[int, int, int]]:
    """First word of the sentence, first word and one past the last word of each match of the grammar."""
    for first, last in zip(tagged.starts, [*tagged.starts[1:], len(letters)], strict=False):
        for match in _GRAMMAR.finditer(letters, first, last):
            start, end = match.span()
            if end < last and _names_a_kind(start, end, letters, tagged):
                end += 1  # "vitamin D", "Windows 10"
            yield first, start, end


def _names_a_kind(start: int, end: int, letters: str, tagged: Tagged) -> bool:
    """Whether the letter or number after a phrase belongs to it."""
    if letters[end] not in "LC" or tagged.lowered[end - 1] in NUMBERED_PARTS or not tagged.plain[end]:
        return False
    if letters[end] == "C" or (end - 1 not in tagged.first_words and _is_name(end - 1, tagged)):
        return _is_name(end - 1, tagged)
    # "a graph G" names an object, "vitamin D" a kind.
    return start == 0 or tagged.tags[start - 1] not in ("DT", "PRP$", "VB", "VBN")


def _cut(
    index: int, end: int, first: int, tagged: Tagged, single: Counter[str], pairs: Counter[tuple[str, str]]
) -> bool:
    """Whether the word at the start of a phrase is a general modifier that is not part of a name or term."""
    word = tagged.lowered[index]
    if word not in GENERAL_MODIFIERS:
        return False
    if index + 1 == end:
        return True
    if _is_term(index, tagged) or (len(tagged.tags) < BRIEF and word not in NEVER_IN_TERMS):
        return False
    if tagged.plain[index] and tagged.words.texts[index][0].isupper() and tagged.tags[index].startswith("NNP"):
        following = tagged.words.texts[index + 1]
        if index > first or (following[0].isupper() and tagged.tags[index + 1].startswith("NNP")):
            return False
    pair = (word, tagged.lowered[index + 1])
    return word in NEVER_IN_TERMS or not (pairs[pair] > 1 and 2 * pairs[pair] > single[pair[1]])


def _is_term(index: int, tagged: Tagged) -> bool:
    second = tagged.lowered[index + 1]
    return not GENERAL_TERMS.isdisjoint(
        (f"{tagged.lowered[index]} {second}", f"{tagged.lowered[index]} {second.removesuffix('s')}")
    )


def _recurs(start: int, end: int, pairs: Counter[tuple[str, str]], lowered: list[str]) -> bool:
    return min(pairs[lowered[index], lowered[index + 1]] for index in range(start, end - 1)) > 1


def _parts(start: int, end: int, letters: str, tagged: Tagged) -> list[tuple[int, int]]:
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


def _content_words(tagged: Tagged) -> list[tuple[int, int]]:
    """Each sequence of words without stop words, for a text without nouns."""
    content = "".join(
        "W"
        if (word not in STOP_WORDS or (tagged.plain[index] and len(word) > 1 and tagged.words.texts[index].isupper()))
        and word not in _NO_PHRASE
        and len(word) > 1
        and is_word(word)
        else " "
        for index, word in enumerate(tagged.lowered)
    )
    found = []
    for first, last in zip(tagged.starts, [*tagged.starts[1:], len(content)], strict=False):
        for match in re.finditer(r"W+", content[first:last]):
            start, end = first + match.start(), first + match.end()
            found.append((start, end) if end - start <= MAX_WORDS else (end - PART_WORDS, end))
    return [(start, end) for start, end in found if not all(map(str.isdigit, tagged.lowered[start:end]))]


def _letters(tagged: Tagged, single: Counter[str]) -> str:
    letters = [_letter(index, tagged) for index in range(len(tagged.tags))]
    find_verbs(letters, tagged)
    lowered = tagged.lowered
    owned = Counter(
        (lowered[index - 1], lowered[index + 1])
        for index, letter in enumerate(letters)
        if letter == "p" and 0 < index < len(letters) - 1
    )
    for index, letter in enumerate(letters):
        if letter == "p" and not _is_compound_possessive(index, letters, tagged, single, owned):
            letters[index] = "."
        elif letter == "C" and not _numbers_a_noun(index, tagged):
            letters[index] = "x"
    return "".join(letters)


def _numbers_a_noun(index: int, tagged: Tagged) -> bool:
    """Whether a number may be part of a term: "type 2 diabetes", "Windows 11", but not "in women 45 years"."""
    if index == 0 or tagged.lowered[index - 1] in NUMBERED_PARTS:
        return False
    return tagged.tags[index - 1] not in ("NNS", "NNPS") or _is_name(index - 1, tagged)


def _is_name(index: int, tagged: Tagged) -> bool:
    """Whether a word begins with a capital as names do."""
    return (
        tagged.plain[index]
        and tagged.words.texts[index] != tagged.lowered[index]
        and tagged.tags[index].startswith("NN")
        and (index not in tagged.first_words or tagged.lowered[index] not in GENERAL_NOUNS)
    )


def _letter(index: int, tagged: Tagged) -> str:
    word, lowered, tag = tagged.words.texts[index], tagged.lowered[index], tagged.tags[index]
    if (
        word == lowered
        and MIN_CHARACTERS <= len(word) <= MAX_CHARACTERS
        and word.isalpha()
        and word not in _ABBREVIATIONS
    ):
        return "N" if tag[:2] == "NN" or tag in ("$", "#", "SYM") else _LETTERS.get(tag, "x")  # most words
    if lowered in ("'s", "’s") or (word in "'’" and index and tagged.lowered[index - 1][-1] in "sxz"):
        return "p"  # Bayes' theorem, too
    if word in "–.&":
        return _joint(word, index, tagged.words)
    if not is_word(word) or lowered in _NO_PHRASE or _is_abbreviated(index, tagged):
        return "."
    if len(word) == 1 and word.isupper():
        return "s" if word in "AI" and not _is_letter(index, tagged) else "L"
    if _NUMBER.fullmatch(word):
        return "C"
    if _is_acronym(index, tagged):
        return "N"
    # A tagger gives some words at the start of a text the tag of a symbol.
    noun = tag.startswith("NN") or (tag in ("$", "#", "SYM") and word.isalpha())
    if len(word) < MIN_CHARACTERS:
        letters_and_digits = word[1:] != lowered[1:] or (word != lowered and not word.isalpha())
        return "N" if letters_and_digits and (noun or tag in ("CD", "JJ")) and not tagged.shouted[index] else "s"
    named = word != lowered and any(map(str.isdigit, word))  # IL-2, 256GB
    if noun or (named and tag in ("CD", "JJ")):
        return "N"
    return _LETTERS.get(tag, "x")


def _is_letter(index: int, tagged: Tagged) -> bool:
    """Whether an A or I is a letter: "hepatitis A spreads", "class A amplifiers"."""
    if index in tagged.first_words or tagged.tags[index] == "PRP":
        return False
    if index + 1 == len(tagged.tags):
        return True
    after = tagged.tags[index + 1]
    return (
        tagged.tags[index] != "DT"
        or tagged.lowered[index + 1] in THIRD_PERSONS
        or after.startswith(("V", "MD", "IN", "CC", ".", ",", "NNS", "NNPS"))
    )


def _is_abbreviated(index: int, tagged: Tagged) -> bool:
    """Whether a word is an abbreviation with its dot, before a name or number: "Fig. 2", "Dr. Brown"."""
    if tagged.lowered[index] not in NO_SENTENCE_END or tagged.lowered[index] == "st":
        return False
    dot, following = (*tagged.words.texts[index + 1 : index + 3], "", "")[:2]
    return dot == "." and (following != following.lower() or following.isdigit())


def _joint(word: str, index: int, words: Words) -> str:
    """Letter of a dash or dot: whether it belongs to the words on both sides, or to the word before."""
    if index == 0:
        return "."
    if word == "&":  # "Marks & Spencer"
        return (
            "h"
            if words.texts[index - 1][0].isupper()
            and words.texts[index + 1 : index + 2] > ["A"]
            and words.texts[index + 1][0].isupper()
            else "."
        )
    if words.spans[index - 1][1] != words.spans[index][0]:
        return "."
    if word == ".":
        before = words.texts[index - 1]
        if len(before) == 1:  # "E. coli", "J. Smith"
            return "a" if before.isupper() and words.texts[index + 1 : index + 2] not in ([], ["."]) else "."
        return "a" if before.isupper() and DOTTED.fullmatch(before) else "."
    joined = index + 1 < len(words.texts) and words.spans[index + 1][0] == words.spans[index][1]
    return "h" if joined else "."


def _is_acronym(index: int, tagged: Tagged) -> bool:
    """Whether a stop word is written as an acronym: the IT department, the WHO, a CAN bus."""
    word, lowered = tagged.words.texts[index], tagged.lowered[index]
    if tagged.shouted[index] or len(word) < 2 or not word.isupper() or lowered not in STOP_WORDS:
        return False
    tags = tagged.tags
    after = tags[index + 1] if index + 1 < len(tags) else ""
    if lowered in _EMPHASIS:  # "the OR nurse"; "childhood ALL is curable"
        before = tags[index - 1] if index and index not in tagged.first_words else ""
        return (before == "DT" and after.startswith("NN")) or (
            before.startswith("NN") and after in ("VBZ", "VBD", "MD")
        )
    return tags[index].startswith("NN") or (index > 0 and tags[index - 1] == "DT") or after.startswith("NN")


def _is_compound_possessive(
    index: int, letters: list[str], tagged: Tagged, single: Counter[str], owned: Counter[tuple[str, str]]
) -> bool:
    """Whether a possessive names a kind (Parkinson's disease) and not an owner (the company's profits)."""
    if index == 0 or index + 1 >= len(letters) or letters[index - 1] != "N" or letters[index + 1] not in "NJ":
        return False
    owner, noun = tagged.lowered[index - 1], tagged.lowered[index + 1]
    # "Ohm's law", "Kirchhoff's circuit laws"
    nouns = tagged.lowered[index + 1 : index + (3 if letters[index + 2 : index + 3] == ["N"] else 2)]
    if tagged.words.texts[index - 1] != owner and not EPONYM_NOUNS.isdisjoint(nouns):
        return True
    if tagged.words.texts[index] in "'’":  # may be a closing quotation mark
        return False
    if (index > 1 and tagged.tags[index - 2] in ("DT", "PRP$")) or owner in GENERAL_NOUNS:
        return False
    return 1 < owned[owner, noun] == single[owner]  # the owner occurs with this noun and never elsewhere


def is_word(word: str) -> bool:
    """Whether a piece of text is a word.

    The Penn Treebank's symbols for brackets, such as -LRB-, have letters but are not words.
    """
    return len(word) <= MAX_CHARACTERS and any(map(str.isalnum, word)) and not (word[0] == word[-1] == "-")
