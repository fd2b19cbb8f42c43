"""Verbs of English sentences that a tagger takes for nouns ("the pump drives a fan", "solar panels age").

A sentence needs a finite verb. Where the tagger finds none, a word that may be a verb, and that stands where a verb may
stand, is the verb. A word that is almost never a noun is one everywhere.
"""

from __future__ import annotations

from kpray.text.tagged_words import Tagged
from kpray.text.verb_forms import BASES, NOUN_VERBS, PURE_VERBS, THIRD_PERSONS, VERBS

_CERTAIN_VERBS = PURE_VERBS | VERBS
_FINITE = ("VBZ", "VBP", "VBD", "MD")
_PLURAL = ("NNS", "NNPS")
_MAX_SENTENCE = 100
_SINGULAR_ENDS = (
    *("ss", "us", "is", "diabetes", "news", "series", "species"),
    *("physics", "matics", "nomics", "istics", "botics", "netics", "namics", "litics", "ethics", "hanics", "tronics"),
)
_DETERMINERS = ("DT", "PRP$", "PRP", "CD", "TO")
_NOMINAL = ("DT", "JJ", "JJR", "PRP$", "CD", "IN", "POS")  # a noun follows these tags
_AUXILIARIES = frozenset("do does did can could will would should may might must shall".split())
_CLAUSE_MARKS = frozenset(', ; : ( ) — – " “ ”'.split())
_CONJUNCTIONS = frozenset("after although as because before if since though unless until when whereas while".split())


def find_verbs(letters: list[str], tagged: Tagged) -> None:
    """Change the letters of nouns and adjectives that are verbs to `x`, from left to right.

    Args:
        letters: one letter of the grammar for each word (`kpray.text.noun_phrases`); changed in place.
        tagged: the words.
    """
    sentence = 0  # number of the sentence
    for index, word in enumerate(tagged.lowered):
        if letters[index] not in "NJRD":
            continue
        while sentence + 1 < len(tagged.starts) and tagged.starts[sentence + 1] <= index:
            sentence += 1
        if letters[index] == "D" or word in THIRD_PERSONS or word in BASES:
            first = tagged.starts[sentence]
            last = tagged.starts[sentence + 1] if sentence + 1 < len(tagged.starts) else len(letters)
            if _is_verb(index, first, last, letters, tagged):
                letters[index] = "x"


def _is_verb(index: int, first: int, last: int, letters: list[str], tagged: Tagged) -> bool:
    text, word, tag = tagged.words.texts[index], tagged.lowered[index], tagged.tags[index]
    after = tagged.tags[index + 1] if index + 1 < last else ""
    if index == first:  # "Insert two batteries"
        if letters[index] == "D":
            return False
        if word in THIRD_PERSONS:  # "Extracts tables from invoices."
            clause = _ends(first, last, tagged) and _lacks_verb(first, last, letters, tagged)
            return clause and after in ("DT", *_PLURAL)
        if word not in BASES:
            return False
        if (
            after in ("DT", "PRP$")
            or (word in PURE_VERBS and after and after[0] in "NJ" and tagged.plain[index])
            or (after == "CD" and tagged.lowered[index + 1].isalpha())
        ):
            return True
        return after == "JJ" and _is_clause(index, first, last, letters, tagged)
    if letters[index] == "D" and tagged.lowered[max(0, index - 2) : index] == ["al", "."]:
        return True  # "Smith et al. measured"
    before = tagged.tags[index - 1]
    if letters[index] != "D" and text == word and before not in _NOMINAL:
        if word in PURE_VERBS or (THIRD_PERSONS.get(word) in PURE_VERBS and letters[index - 1] not in "NJLC"):
            return True
        if word in BASES and before[:2] == "NN" and _is_inverted(index, first, letters, tagged):
            return word in VERBS or after[:1] not in ("N", "V")
    if not _ends_phrase(index - 1, letters, tagged) or (tagged.plain[index] and word != text):
        return False
    if letters[index] == "D":  # "agents blamed interest rates"
        return _ends(first, last, tagged) and _lacks_verb(first, last, letters, tagged)
    before_plural = tagged.tags[index - 1] in _PLURAL and not tagged.lowered[index - 1].endswith(_SINGULAR_ENDS)
    if word in THIRD_PERSONS:
        verb = THIRD_PERSONS[word]
        if not tag.startswith(("NN", "JJ")) or (
            before_plural and not (index - 1 == first and after == "NNS")
        ):  # "Kubernetes builds"
            return False
        if verb in PURE_VERBS or after in _DETERMINERS:
            return True
        if tagged.plain[index] and verb not in NOUN_VERBS:
            # "SARS-CoV-2 binds ACE2"
            before, following = tagged.words.texts[index - 1], (tagged.words.texts[index + 1 : index + 2] or [""])[0]
            if before != before.lower() and following != following.lower():
                return True
        if not tagged.plain[index] and verb in NOUN_VERBS:
            return False
        # "oil spills harm birds"
        verb_follows = tagged.lowered[index + 1] in _CERTAIN_VERBS if after.startswith("NN") else False
        return not verb_follows and _is_clause(index, first, last, letters, tagged)
    if tag == "NNS":
        return False
    if not before_plural:  # "this tool and that program call the library"
        if after == "." and word in VERBS and "CC" in tagged.tags[first:index]:  # "the pump and the fan fail."
            return _lacks_verb(first, last, letters, tagged)
        if after not in ("DT", "PRP$", "NNP") or not _ends(first, last, tagged):
            return False
        plural = any(tag in ("CC", *_PLURAL) for tag in tagged.tags[first:index])
        return (after != "NNP" or (plural and tagged.plain[index])) and _lacks_verb(first, last, letters, tagged)
    return word not in NOUN_VERBS or _is_clause(index, first, last, letters, tagged)


def _is_inverted(index: int, first: int, letters: list[str], tagged: Tagged) -> bool:
    """Whether an auxiliary verb is before the subject: "does the server return"."""
    start = index - 1
    while start > max(first, index - _MAX_SENTENCE) and (
        letters[start] in "NJRDLCp" or tagged.tags[start] in ("DT", "PRP$")
    ):
        start -= 1
    return tagged.lowered[start] in _AUXILIARIES


def _ends_phrase(index: int, letters: list[str], tagged: Tagged) -> bool:
    """Whether a subject may end here: at a noun, or at a name that the tagger takes for an adjective."""
    return letters[index] in "NLCa" or (
        letters[index] == "J" and tagged.words.texts[index][1:] != tagged.lowered[index][1:]
    )


def _ends(first: int, last: int, tagged: Tagged) -> bool:
    """Whether a sentence ends with punctuation or is a title, and so needs a verb. A very long one is a list."""
    if last - first > _MAX_SENTENCE:
        return False
    return tagged.words.texts[last - 1] in ".!?" or not tagged.plain[last - 1]


def _lacks_verb(first: int, last: int, letters: list[str], tagged: Tagged) -> bool:
    return not any(
        tagged.tags[index] in _FINITE
        or (index == first and tagged.tags[index] == "VB")
        or (letters[index] == "x" and tagged.lowered[index] in THIRD_PERSONS)
        for index in range(first, last)
    )


def _is_clause(index: int, first: int, last: int, letters: list[str], tagged: Tagged) -> bool:
    """Whether a word that may be a verb stands where one is missing."""
    if not _ends(first, last, tagged):
        return False
    start, end = index, index + 1
    while start > first and not _is_mark(start - 1, tagged):
        start -= 1
    while end < last and not _is_mark(end, tagged):
        end += 1
    if not _lacks_verb(start, end, letters, tagged):
        return False
    after = tagged.tags[index + 1] if index + 1 < last else ""
    if start > first and _is_conjunction(start - 1, tagged):  # "when prices fall"
        return True
    if after in ("DT", "PRP$", "PRP", "CD", "JJ", "JJR", "NNS", "NNPS"):
        return True
    if after and start == first and _is_conjunction(index + 1, tagged):
        return True
    if tagged.lowered[end : end + 1] == [";"] and start == first:
        last = end  # "plastics harm fish; they are small"
    if not _lacks_verb(first, last, letters, tagged):
        return False
    if after.startswith(("NN", "RB", "RP")):
        return True
    verb = THIRD_PERSONS.get(tagged.lowered[index], tagged.lowered[index])
    if after in ("IN", ".") and verb in VERBS:
        return tagged.lowered[index + 1] != "of"
    named = letters[index - 1] == "C" or tagged.words.texts[index - 1] != tagged.lowered[index - 1]
    return named and after == "IN" and tagged.lowered[index + 1] != "of"  # "Ubuntu 24.04 ships with"


def _is_mark(index: int, tagged: Tagged) -> bool:
    return (
        tagged.lowered[index] in _CLAUSE_MARKS
        or tagged.tags[index] in ("CC", "WDT", "WP")
        or _is_conjunction(index, tagged)
    )


def _is_conjunction(index: int, tagged: Tagged) -> bool:
    return tagged.tags[index] == "WRB" or tagged.lowered[index] in _CONJUNCTIONS
