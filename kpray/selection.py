"""Which keyphrases of a document are returned, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kpray.document import Keyphrase
from kpray.text.occurrences import StemmedText
from kpray.text.stems import stemmed_words


def with_offsets(keyphrases: Sequence[Keyphrase], text: str, lang: str) -> list[Keyphrase]:
    """Keyphrases with the offsets of their occurrences.

    Args:
        keyphrases: of any method.
        text: `Document.text`.
        lang: language of the document.
    """
    phrases = [stemmed_words(keyphrase.text, lang) if keyphrase.present else [] for keyphrase in keyphrases]
    offsets = StemmedText.of(text, lang).find(phrases)
    return [replace(keyphrase, offsets=found) for keyphrase, found in zip(keyphrases, offsets, strict=True)]
