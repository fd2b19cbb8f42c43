"""Porter's stemmer for English, as NLTK has it: the same stems without the import of NLTK, which takes half a second.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, pages 130-137, with the extensions of NLTK's
`PorterStemmer` in its default mode. In the paper, a word is [C](VC){m}[V], where C is a run of consonants and V is a
run of vowels. Most rules replace a suffix only if the rest of the word has a measure m that is large enough.
"""

from __future__ import annotations

from collections.abc import Mapping

_VOWELS = frozenset("aeiou")
_IRREGULAR = {
    **{"skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "innings": "inning", "outings": "outing"},
    **{"cannings": "canning"},
    **{word: word for word in ("sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed")},
}
# Suffix -> what replaces it. The first suffix that a word has is the one that counts.
_STEP_2 = {
    **{"ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "entli": "ent"},
    **{"eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive"},
    **{"fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful"},
}
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = dict.fromkeys(
    [
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"),
        *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
    ],
    "",
)


def porter_stem(word: str) -> str:
    """The stem of a word.

    Args:
        word: any string in lower case.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _step_1c(_step_1b(_step_1a(word)))
    return _step_5(_step_4(_replace(_step_2(word), _STEP_3, 1)))


def _step_1a(word: str) -> str:
    """Without the ending of a plural: caresses -> caress, ponies -> poni, cats -> cat, but dies -> die."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _step_1b(word: str) -> str:
    """Without -ed and -ing: hopping -> hop, filing -> file, agreed -> agree, spied -> spi, but died -> die."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    stem = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if "v" not in _form(stem):
        return word
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    # NLTK also takes the name of the rule, *d, for letters.
    if stem.endswith("*d") or (stem[-2:-1] == stem[-1] and _form(stem)[-1] == "c"):
        return stem if stem[-1] in "lsz" else stem[:-2] + stem[-1]
    return stem + "e" if _measure(stem) == 1 and _ends_short(stem) else stem


def _step_1c(word: str) -> str:
    """With -i for -y after a consonant: happy -> happi, fly -> fli, but enjoy -> enjoy."""
    stem = word[:-1]
    return stem + "i" if word.endswith("y") and len(stem) > 1 and _form(stem)[-1] == "c" else word


def _step_2(word: str) -> str:
    """With a simpler suffix for a double one: relational -> relate, hopefulness -> hopeful."""
    if word.endswith("alli") and _measure(word[:-4]):
        word = word[:-2]
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) else word
    return _replace(word, _STEP_2, 1)


def _step_4(word: str) -> str:
    """Without a last suffix: revival -> reviv, adoption -> adopt."""
    if word.endswith("ion"):
        return word[:-3] if _measure(word[:-3]) > 1 and word[-4] in "st" else word
    return _replace(word, _STEP_4, 2)


def _step_5(word: str) -> str:
    """Without a last -e, and with one l for two: probate -> probat, controll -> control."""
    if word.endswith("e"):
        measure = _measure(word[:-1])
        word = word[:-1] if measure > 1 or (measure == 1 and not _ends_short(word[:-1])) else word
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _replace(word: str, rules: Mapping[str, str], least: int) -> str:
    """Replace the first suffix of the rules that a word has, if the rest has at least this measure."""
    for suffix, replacement in rules.items():
        if word.endswith(suffix):
            stem = word.removesuffix(suffix)
            return stem + replacement if _measure(stem) >= least else word
    return word


def _form(stem: str) -> str:
    """A `v` for each vowel and a `c` for every other character; y is a vowel after a consonant."""
    form = ""
    for letter in stem:
        form += "v" if letter in _VOWELS or (letter == "y" and form.endswith("c")) else "c"
    return form


def _measure(stem: str) -> int:
    """The paper's m: 0 for tree and by, 1 for trouble, 2 for private."""
    return _form(stem).count("vc")


def _ends_short(stem: str) -> bool:
    """Whether a stem ends with consonant, vowel, consonant (hop, but not w, x or y last) or is vowel, consonant."""
    form = _form(stem)
    return form == "vc" or (form.endswith("cvc") and stem[-1] not in "wxy")
