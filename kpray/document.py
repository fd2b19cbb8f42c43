"""`Document`, the input of every predictor, `Keyphrase`, its output, and the Arrow schema of stored predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import pyarrow

# Default of `Document.body`, so that `Document("a text")`, whose text would be its id, is an error.
_MISSING: str = cast(str, object())
_SENTENCE_END = (".", "!", "?", ":", "。", "！", "？", "…")


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one document. Gold keyphrases are not part of it, so a predictor cannot see them.

    `Document(body="A text.")` is enough.

    Attributes:
        id: any string. In a document that was read from a file: the record's id, or `source:line` if it has none.
        body: the abstract, the full text, or both.
        title: may be empty.
        lang: language code (`en`, `zh_CN`, ...) or English name of the language. If it is not given, or `auto`, the
            language is detected from the text.
        lang_source: how `lang` was found: `named` by the caller, `detected` from the text, or `assumed` to be English
            because the text is too short for detection.

    Raises:
        TypeError: there is no body, or a value is not a string.
    """

    id: str = ""
    body: str = _MISSING
    title: str = ""
    lang: str = "auto"
    lang_source: Literal["named", "detected", "assumed"] = field(default="named", init=False, compare=False)

    def __post_init__(self) -> None:
        """Check the types, and detect the language if none is named."""
        if self.body is _MISSING:
            raise TypeError("a Document needs a body: write Document(body=...)")
        for name in ("id", "body", "title", "lang"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"Document: {name} must be a string, not {type(value).__name__}")
        from kpray.text.detection import document_language

        lang, source = document_language(self.lang, self.text)
        object.__setattr__(self, "lang", lang)
        object.__setattr__(self, "lang_source", source)

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
        score: between 0 and 1; higher is better. Comparable only within one document.
        present: whether the phrase's stemmed words occur consecutively in the document.
        offsets: start and end of each occurrence in `Document.text`, in text order, without overlaps. An occurrence is
            a sequence of words with the stems of the phrase, or of another spelling of it. Empty if the phrase is
            absent.
    """

    text: str
    score: float
    present: bool
    offsets: tuple[tuple[int, int], ...] = ()


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

    fields = [("text", pa.string()), ("score", pa.float64()), ("present", pa.bool_())]
    keyphrase = pa.struct([*fields, ("offsets", pa.list_(pa.list_(pa.int32())))])
    return pa.schema([("id", pa.string()), ("lang", pa.string()), ("keyphrases", pa.list_(keyphrase))])
