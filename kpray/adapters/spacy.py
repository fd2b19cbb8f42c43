"""A spaCy component: `nlp.add_pipe("kpray")`. It needs spaCy: `pip install 'kpray[spacy]'`.

The keyphrases of a document are in `doc._.keyphrases`, their occurrences in the span group `doc.spans["keyphrases"]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from kpray.adapters import keyphrases_or_none
from kpray.document import Document, Keyphrase
from kpray.registry import open_predictor

_NAME = "keyphrases"


class KeyphraseComponent:
    """Adds keyphrases to documents.

    Args:
        lang: language of the documents; `xx`, spaCy's multilingual one: detected for each document.
        predictor: argument of `kpray.open_predictor`.
        config: configuration of the predictor.
        top: maximum number of keyphrases per document.
    """

    def __init__(self, lang: str, predictor: str, config: dict[str, Any], top: int) -> None:
        self.lang = "auto" if lang == "xx" else lang
        self.predictor = open_predictor(predictor, config)
        self.top = top

    def __call__(self, doc: Doc) -> Doc:
        """Add the keyphrases of one document."""
        self._add([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], batch_size: int = 64) -> Iterator[Doc]:
        """Add the keyphrases of many documents, batch by batch."""
        docs = iter(stream)
        while batch := list(islice(docs, batch_size)):
            self._add(batch)
            yield from batch

    def _add(self, docs: list[Doc]) -> None:
        documents = [Document(body=doc.text, lang=self.lang) for doc in docs]
        for doc, keyphrases in zip(docs, keyphrases_or_none(self.predictor, documents, self.top), strict=True):
            # As plain values, because spaCy sends documents to other processes and stores them as MessagePack.
            doc.user_data[_NAME] = [asdict(keyphrase) for keyphrase in keyphrases]
            found = [
                doc.char_span(start, end, label=keyphrase.text, alignment_mode="expand")
                for keyphrase in keyphrases
                for start, end in keyphrase.offsets
            ]
            spans = [span for span in found if span is not None]
            doc.spans[_NAME] = SpanGroup(doc, name=_NAME, spans=sorted(spans, key=lambda span: (span.start, span.end)))


def read_keyphrases(doc: Doc) -> list[Keyphrase]:
    """The keyphrases of a document, best first; empty before the component has seen it."""
    return [
        Keyphrase(**{**fields, "offsets": tuple((start, end) for start, end in fields["offsets"])})
        for fields in doc.user_data.get(_NAME, [])
    ]


@Language.factory(
    "kpray",
    assigns=[f"doc._.{_NAME}", "doc.spans"],
    default_config={"predictor": "samrank", "config": {}, "top": 10},
)
def make_component(nlp: Language, name: str, predictor: str, config: dict[str, Any], top: int) -> KeyphraseComponent:
    """Make the component, for `nlp.add_pipe("kpray", config={"top": 5})`."""
    return KeyphraseComponent(nlp.lang or "", predictor, config, top)


if not Doc.has_extension(_NAME):
    Doc.set_extension(_NAME, getter=read_keyphrases)
