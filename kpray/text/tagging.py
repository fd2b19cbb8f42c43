"""Part-of-speech tags of English words, by NLTK's perceptron tagger or, if its data is missing, TextBlob's tagger."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from kpray.errors import UserError
from kpray.text.words import Words

TaggerName = Literal["auto", "nltk", "textblob"]
NLTK_TAGGER = "averaged_perceptron_tagger_eng"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tagger:
    """A part-of-speech tagger for English.

    Attributes:
        name: name of the tagger, stored with all predictions that use it.
        tag_sentence: words of a sentence -> their Penn Treebank tags.
    """

    name: str
    tag_sentence: Callable[[list[str]], list[str]]

    def tag(self, words: Words) -> list[str]:
        """Penn Treebank tag of each word."""
        return [tag for sentence in words.by_sentence() for tag in self.tag_sentence(sentence)]


@cache
def load_tagger(name: TaggerName) -> Tagger:
    """Load a tagger, once per process. `auto` is NLTK's if its data is installed, else TextBlob's, with a warning.

    Raises:
        UserError: the tagger or its data is not installed.
    """
    if name in ("auto", "nltk"):
        try:
            return _nltk_tagger()
        except LookupError:
            missing = f"NLTK's tagger data {NLTK_TAGGER} was not found"
            if name == "nltk":
                raise UserError(
                    missing, where="tagger", fix="run `kpray download-nltk`, or set NLTK_DATA to its folder"
                ) from None
    try:
        tagger = _textblob_tagger()
    except ImportError:
        raise UserError(
            "no tagger for English is installed",
            where="tagger",
            fix="run `kpray download-nltk`, or `pip install 'kpray[offline]'`",
        ) from None
    if name == "auto":
        logger.warning("%s: using TextBlob's tagger (run `kpray download-nltk`, or set NLTK_DATA)", missing)
    return tagger


def _nltk_tagger() -> Tagger:
    from nltk.tag.perceptron import PerceptronTagger

    tagger = PerceptronTagger()
    return Tagger("nltk", lambda words: [tag for _, tag in tagger.tag(words)])


def _textblob_tagger() -> Tagger:
    from textblob.en import parser

    return Tagger("textblob", lambda words: [tag for _, tag in parser.find_tags(words)])
