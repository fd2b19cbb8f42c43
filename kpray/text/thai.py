"""Thai words and nouns: by PyThaiNLP, or by BudouX and stop words where the extra `languages` is not installed."""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from importlib.util import find_spec

from kpray.text.segmenters import budoux_segmenter, split_pieces
from kpray.text.words import Words

#: Tags of the ORCHID corpus: common nouns, names, titles, labels.
_NOUN = re.compile("NCMN|NPRP|NTTL|NLBL")

logger = logging.getLogger(__name__)


def split_thai(text: str) -> Words:
    """Split a text into words."""
    if not has_thai_tagger():
        return split_pieces(text, budoux_segmenter("th")(text))
    from pythainlp.tokenize import word_tokenize

    return split_pieces(text, word_tokenize(text))


def thai_nouns(words: Words) -> list[bool]:
    """Whether each word is a noun or a name, by PyThaiNLP's tagger."""
    from pythainlp.tag import pos_tag

    tags = [tag for sentence in words.by_sentence() for _, tag in pos_tag(sentence, corpus="orchid")]
    return [_NOUN.fullmatch(tag) is not None for tag in tags]


@cache
def has_thai_tagger() -> bool:
    """Whether PyThaiNLP is installed."""
    if find_spec("pythainlp") is None:
        logger.warning("Thai: words are found without a dictionary (better: pip install 'kpray[languages]')")
        return False
    # Otherwise its import makes a folder for downloads in the home folder.
    os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")
    return True
