"""The two nouns of kpray, `Document` in and `Keyphrase` out, and the form in which both are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

_SENTENCE_END = (".", "!", "?", ":", "。", "！", "？", "…")


@dataclass(frozen=True, slots=True)
class Document:
    """One text to describe. It carries no gold keyphrases, so a predictor cannot see them.

    Attributes:
        id: the record's own id, or `source:line` where it has none.
        body: the abstract, the full text, or both.
        title: may be empty.
        lang: language code as the record has it (`en`, `zh_CN`, ...).
    """

    id: str
    body: str
    title: str = ""
    lang: str = "en"

    @property
    def text(self) -> str:
        """Title and body as one string; every character offset in kpray counts in this string."""
        if not self.title or not self.body:
            return self.title or self.body
        return self.title + (" " if self.title.endswith(_SENTENCE_END) else ". ") + self.body


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """One predicted phrase.

    Attributes:
        text: the phrase as it first stands in the document, or as it was generated.
        score: higher is better; comparable within one document only.
        present: whether the phrase's stemmed words stand in the document side by side.
    """

    text: str
    score: float
    present: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A document with the gold keyphrases that a data set has for it.

    Attributes:
        keyphrases: gold phrases as written, in the data set's order; empty where there are none.
        stemmed: gold phrases as the data set itself stemmed them, or None.
        source: file the record came from.
        line: its line (or row, or 1 for a whole file), counted from 1.
        english_ids: of the English passages that go with it, best first: its translation, or what a retriever found.
    """

    document: Document
    keyphrases: tuple[str, ...] = ()
    stemmed: tuple[str, ...] | None = None
    source: str = ""
    line: int = 1
    english_ids: tuple[str, ...] = ()


def predictions_schema() -> pyarrow.Schema:
    """Arrow schema of the predictions of one document per row; keyphrases in rank order."""
    import pyarrow as pa

    keyphrase = pa.struct([("text", pa.string()), ("score", pa.float64()), ("present", pa.bool_())])
    return pa.schema([("id", pa.string()), ("lang", pa.string()), ("keyphrases", pa.list_(keyphrase))])
