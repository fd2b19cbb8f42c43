"""Detection of a document's language, where neither its record nor an option names one."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

import regex

from kpray.text.language_names import ENGLISH_NAMES

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

AUTO = "auto"  #: the language of a document is detected
LanguageSource = Literal["named", "detected", "assumed"]

_UNNAMED = frozenset({"", AUTO, "und", "mul", "zxx"})  # ISO 639-2: undetermined, multiple languages, no language
_CHARACTERS = 1000  # more text does not change the result, but takes longer
_CONFIDENCE = 0.5  # of 20 words, 99% reach it; the language is right for 99% of the texts that reach it
_NO_LANGUAGE = re.compile(r"https?://\S+|\S+@\S+|<[^<>]*>|```.*?```", re.DOTALL)
_OTHER_SCRIPT = regex.compile(r"(?!\p{Latin})\p{L}")
_LATIN = regex.compile(r"\p{Latin}")
_WORD = re.compile(r"\w+")
_ENGLISH = frozenset(
    "the of and to is that for with are this which from by we be has have as can not been were on in".split()
)


def document_language(lang: str, text: str) -> tuple[str, LanguageSource]:
    """Language of a document, detected if `lang` names none.

    Args:
        lang: language of the record or of the option; `auto` and `und` name no language.
        text: the document.

    Returns:
        The language, and where it comes from: `named` (it is `lang`), `detected`, or `assumed`. English is assumed if
        the text is too short for detection and its letters are Latin.
    """
    if lang.strip().lower() not in _UNNAMED:
        return lang, "named"
    sample = _NO_LANGUAGE.sub(" ", text[: 4 * _CHARACTERS])[:_CHARACTERS]
    if _is_plain_english(sample):
        return "en", "detected"
    language, confidence = _identifier().classify(sample)
    latin, other = len(_LATIN.findall(sample)), len(_OTHER_SCRIPT.findall(sample))
    if confidence < _CONFIDENCE and latin >= 3 * other:
        return "en", "assumed"
    return str(language), "detected"


def _is_plain_english(sample: str) -> bool:
    """Whether a text is English without any doubt and from beginning to end, so that no model has to be loaded for it.

    Of the words of English prose, a quarter are in the list; of other languages, hardly any.
    """
    words = _WORD.findall(sample.lower())
    if len(words) < 30 or words.count("the") < 2 or _english_share(words) < 0.2:
        return False
    fifth = -(-len(words) // 5)
    return all(_english_share(words[start : start + fifth]) >= 0.1 for start in range(0, len(words), fifth))


def _english_share(words: list[str]) -> float:
    return sum(word in _ENGLISH for word in words) / len(words)


@cache
def _identifier() -> LanguageIdentifier:
    # Loading takes half a second, so it is done at the first document that needs it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Small languages that resemble large ones, such as Wu and Chinese, are left out: short texts are detected better.
    identifier.set_languages(set(identifier.labels) & ENGLISH_NAMES.keys())
    return identifier
