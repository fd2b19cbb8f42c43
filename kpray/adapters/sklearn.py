"""A scikit-learn transformer. It needs scikit-learn: `pip install 'kpray[sklearn]'`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from sklearn.base import BaseEstimator, TransformerMixin

from kpray.adapters import keyphrases_or_none, opened
from kpray.predictor import Predictor


class KeyphraseTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Turns texts into lists of keyphrases.

    There is nothing to fit. A vectorizer after it takes each phrase as one token with `CountVectorizer(analyzer=list)`.

    Args:
        predictor: a predictor, or an argument of `kpray.open_predictor`. It is opened at the first use.
        config: configuration of the predictor, as for `kpray.open_predictor`.
        top: maximum number of keyphrases per text.
        lowercase: lower-case the phrases, so that "Solar panels" and "solar panels" are one feature.
    """

    def __init__(
        self,
        predictor: str | Predictor[Any] = "samrank",
        *,
        config: Mapping[str, Any] | None = None,
        top: int = 10,
        lowercase: bool = True,
    ) -> None:
        self.predictor = predictor
        self.config = config
        self.top = top
        self.lowercase = lowercase

    def fit(self, X: Iterable[Any], y: object = None) -> Self:
        """Open the predictor.

        Raises:
            UserError: the predictor does not exist, or its configuration is wrong.
        """
        self.predictor_ = opened(self.predictor, self.config)
        return self

    def transform(self, X: Iterable[Any]) -> list[list[str]]:
        """Keyphrases of each text, best first.

        Args:
            X: texts: a list, a column or a table, as for `Predictor.predict`.

        Returns:
            A list of phrases per text. A text that cannot be processed has none, and a warning says why.

        Raises:
            UserError: the predictor does not exist, or its configuration is wrong.
            TypeError: X is no collection of texts.
        """
        if isinstance(X, str):
            raise TypeError("X must be a collection of texts, not one text: write [text]")
        predictor = getattr(self, "predictor_", None) or self.fit(X).predictor_
        found = keyphrases_or_none(predictor, X, self.top)
        texts = [[keyphrase.text for keyphrase in keyphrases] for keyphrases in found]
        return [[text.lower() for text in each] for each in texts] if self.lowercase else texts

    def __sklearn_tags__(self) -> Any:
        """Texts in, no fit."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False, True
        tags.requires_fit = False
        return tags
