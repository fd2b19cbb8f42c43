"""A document transformer of LangChain. It needs langchain-core: `pip install 'kpray[langchain]'`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import BaseDocumentTransformer, Document

from kpray.adapters import keyphrases_or_none, opened
from kpray.predictor import Predictor


class KeyphraseMetadata(BaseDocumentTransformer):
    """Adds keyphrases to the metadata of documents, for filters and for search.

    Args:
        predictor: a predictor, or an argument of `kpray.open_predictor`.
        config: configuration of the predictor, as for `kpray.open_predictor`.
        top: maximum number of keyphrases per document.
        field: name of the metadata field for the list of phrases, best first.

    Raises:
        UserError: the predictor does not exist, or its configuration is wrong.
    """

    def __init__(
        self,
        predictor: str | Predictor[Any] = "samrank",
        *,
        config: Mapping[str, Any] | None = None,
        top: int = 10,
        field: str = "keyphrases",
    ) -> None:
        self.predictor = opened(predictor, config)
        self.top = top
        self.field = field

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        """Copies of the documents, with their keyphrases.

        A document that cannot be processed has none, and a warning says why.
        """
        texts = [document.page_content for document in documents]
        return [
            document.model_copy(update={"metadata": {**document.metadata, self.field: [each.text for each in found]}})
            for document, found in zip(documents, keyphrases_or_none(self.predictor, texts, self.top), strict=True)
        ]
