"""Where English words meet in letters without a space, by a list of words with their frequencies."""

from __future__ import annotations

from itertools import accumulate

_COMPOUND_ENDS = frozenset("based dependent driven oriented related specific".split())  # also after names
_MIN_LETTERS = 4  # the list has abbreviations and syllables, too


def is_compound(before: str, after: str) -> bool:
    """Whether two parts are words of a compound (`long-term`), and not syllables of one word (`import-ers`).

    Measured on Inspec's train part: 87% of its hyphenated words are found to be compounds; 1.5% of its other words are
    wrongly found to be, when they are broken at any letter.
    """
    if after in _COMPOUND_ENDS:
        return True
    return len(before) in _ends(before + after) and not _ends(before) and not _ends(after)


def joined_words(letters: str) -> list[int]:
    """Offsets inside `letters` where two long words meet: `publictransport` -> [6]; empty if it may be a name."""
    ends = _ends(letters)
    lengths = [end - start for start, end in zip([0, *ends], [*ends, len(letters)], strict=True)]
    return ends if all(length >= _MIN_LETTERS for length in lengths) else []


def _ends(letters: str) -> list[int]:
    """Offsets between the words that `letters` most likely consist of; empty for one word."""
    import wordninja

    words: list[str] = wordninja.split(letters)
    return list(accumulate(map(len, words)))[:-1] if "".join(words) == letters else []
