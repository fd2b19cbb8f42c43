"""Part-of-speech tags of English words, by NLTK's perceptron tagger or, if its data is missing, TextBlob's tagger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from kpray.errors import UserError
from kpray.text.perceptron import NLTK_TAGGER, PerceptronTagger, data_folder
from kpray.text.words import Words

TaggerName = Literal["auto", "nltk", "textblob"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tagger:
    """A part-of-speech tagger for English.

    Attributes:
        name: name of the tagger, stored with all predictions that use it.
        tag_sentences: words of several sentences -> their Penn Treebank tags. Many sentences at once take less time.
    """

    name: str
    tag_sentences: Callable[[Sequence[Sequence[str]]], list[list[str]]]

    def tag(self, words: Words) -> list[str]:
        """Penn Treebank tag of each word."""
        return [tag for tags in self.tag_sentences(words.by_sentence()) for tag in tags]


def one_by_one(tag_sentence: Callable[[list[str]], list[str]]) -> Callable[[Sequence[Sequence[str]]], list[list[str]]]:
    """`tag_sentences` of a tagger that takes one sentence. It gets no empty sentence."""
    return lambda sentences: [tag_sentence(list(words)) if words else [] for words in sentences]


def remembering(tagger: Tagger, kept: int | None) -> Tagger:
    """The tagger, which remembers the tags of the last `kept` sentences, or of all."""
    tag = lru_cache(kept)(lambda words: tagger.tag_sentences([words])[0])
    return Tagger(tagger.name, one_by_one(lambda words: list(tag(tuple(words)))))


@cache
def load_tagger(name: TaggerName) -> Tagger:
    """Load a tagger, once per process. `auto` is NLTK's if its data is installed, else TextBlob's, with a warning.

    Raises:
        UserError: the tagger or its data is not installed.
    """
    missing = f"NLTK's tagger data {NLTK_TAGGER} was not found"
    fix = "run `kpray download-nltk`, or set NLTK_DATA to its folder"
    try:
        if name == "textblob":
            return _textblob_tagger()
        folder = data_folder()
        return Tagger("nltk", PerceptronTagger(folder).tag) if name == "nltk" else load_tagger("nltk")
    except LookupError:
        if name == "nltk":
            raise UserError(missing, where="tagger", fix=fix) from None
    except ImportError:
        raise UserError(
            "no tagger for English is installed",
            where="tagger",
            fix="run `kpray download-nltk`, or `pip install 'kpray[offline]'`",
        ) from None
    tagger = load_tagger("textblob")
    logger.warning("%s: using TextBlob's tagger (run `kpray download-nltk`, or set NLTK_DATA)", missing)
    return tagger


def _textblob_tagger() -> Tagger:
    from textblob.en import parser

    return Tagger("textblob", one_by_one(lambda words: [tag for _, tag in parser.find_tags(words)]))
