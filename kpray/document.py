"""`Document`, the input of every predictor, `Keyphrase`, its output, and the Arrow schema of stored predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow

_SENTENCE_END = (".", "!", "?", ":", "。", "！", "？", "…")


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one document. Gold keyphrases are not part of it, so a predictor cannot see them.

    Attributes:
        id: id from the record, or `source:line` if the record has no id.
        body: the abstract, the full text, or both.
        title: may be empty.
        lang: language code as given in the record (`en`, `zh_CN`, ...), or as detected.
        lang_source: `named` by the record or an option, `detected` from the text, or `assumed` to be English because
            the text is too short for detection.
    """

    id: str
    body: str
    title: str = ""
    lang: str = "en"
    lang_source: Literal["named", "detected", "assumed"] = field(default="named", compare=False)

    @property
    def text(self) -> str:
        """Title and body as one string. All character offsets in kpray refer to this string."""
        if not self.title or not self.body:
            return self.title or self.body
        return self.title + (" " if self.title.endswith(_SENTENCE_END) else ". ") + self.body


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """One predicted phrase.

    Attributes:
        text: the phrase as it first occurs in the document, or as generated.
        score: higher is better; comparable only within one document.
        present: whether the phrase's stemmed words occur consecutively in the document.
    """

    text: str
    score: float
    present: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A document of a dataset, with its gold keyphrases.

    Attributes:
        document: the text.
        keyphrases: gold phrases as written, in the dataset's order; may be empty.
        stemmed: gold phrases as stemmed in the dataset, or None.
        source: file of the record.
        line: line or row of the record in that file, counted from 1; 1 if the file is one document.
        english_ids: ids of the English passages for this document, best first: its translation, or retrieved passages.
        metadata: other fields of the record that were asked for, as JSON values.
    """

    document: Document
    keyphrases: tuple[str, ...] = ()
    stemmed: tuple[str, ...] | None = None
    source: str = ""
    line: int = 1
    english_ids: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def predictions_schema() -> pyarrow.Schema:
    """Arrow schema of predictions: one row for each document, its keyphrases in rank order."""
    import pyarrow as pa

    keyphrase = pa.struct([("text", pa.string()), ("score", pa.float64()), ("present", pa.bool_())])
    return pa.schema([("id", pa.string()), ("lang", pa.string()), ("keyphrases", pa.list_(keyphrase))])
