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
    language, confidence = _identifier().classify(sample)
    latin, other = len(_LATIN.findall(sample)), len(_OTHER_SCRIPT.findall(sample))
    if confidence < _CONFIDENCE and latin >= 3 * other:
        return "en", "assumed"
    return str(language), "detected"


@cache
def _identifier() -> LanguageIdentifier:
    # Loading takes half a second, so it is done at the first document that names no language.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Small languages that resemble large ones, such as Wu and Chinese, are left out: short texts are detected better.
    identifier.set_languages(set(identifier.labels) & ENGLISH_NAMES.keys())
    return identifier
