"""`Predictor`, the interface of all methods: it takes `Document`s and returns ranked `Keyphrase`s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from inspect import getdoc
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar, Unpack, overload

from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument, UserError
from kpray.failures import all_or_each, each_or_reject
from kpray.hub import PREDICTOR_FILE as PREDICTOR_FILE

if TYPE_CHECKING:
    import numpy as np

    from kpray.selection import Selection, SelectionKeywords, SelectionOptions
    from kpray.texts import Text

Prepared = TypeVar("Prepared")

_PREPARED_AT_ONCE = 200

# A `RejectedDocument` in a list of results. Its type is `Any`, as typeshed types rare results, so that programs whose
# documents are all accepted need no check.
Rejected: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Evidence:
    """A retrieved English passage whose keyphrases the generator read.

    Attributes:
        document: the passage.
        keyphrases: the keyphrases of the passage.
        score: retrieval score; higher is more similar.
    """

    document: Document
    keyphrases: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Support:
    """A retrieved keyphrase on which a generated phrase rests.

    Attributes:
        keyphrase: the keyphrase.
        passages: indices in `Explanation.evidence` of the passages that have this keyphrase.
        gain: log2 of the factor by which the keyphrase, as a part of the generator's input, makes the phrase more
            probable: 1 means twice as probable, 2 four times.
    """

    keyphrase: str
    passages: tuple[int, ...]
    gain: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document got its keyphrases.

    Attributes:
        keyphrases: same as `predict` returns without `explain`.
        spans: int32 [tokens, 2], character span of each token in `Document.text`, in order; empty if the method does
            not score tokens.
        scores: float64 [tokens], score of each token.
        evidence: retrieved passages, most similar first.
        support: for each keyphrase the retrieved keyphrases without which it would be at most half as probable, highest
            gain first. None if the method retrieves nothing, or if it was not requested.
        embeddings: float32 [keyphrases, hidden size], a vector for each keyphrase: the mean of the model's hidden
            states over its occurrences. None if not requested.
    """

    keyphrases: list[Keyphrase]
    spans: np.ndarray
    scores: np.ndarray
    evidence: tuple[Evidence, ...] = ()
    support: tuple[tuple[Support, ...], ...] | None = None
    embeddings: np.ndarray | None = None


class Predictor(ABC, Generic[Prepared]):
    """Predicts ranked keyphrases in two steps, which a batch job may run in different processes.

    `prepare` preprocesses one document on the CPU (words, tags, token ids); its result can be pickled.
    `predict_prepared` runs the model on many documents at once.
    """

    kind: ClassVar[str]
    """Name of the method in the registry and in saved folders."""
    config: Any
    """Configuration of the method, a `kpray.predictor_config.PredictorConfig`. The class, called with it, opens the
    same predictor again."""

    takes_options: ClassVar[bool] = False
    """Whether the method reads `selection`."""
    gives_embeddings: ClassVar[bool] = False
    """Whether the method gives `Explanation.embeddings`."""
    gives_support: ClassVar[bool] = False
    """Whether the method gives `Explanation.support`."""
    _selection: Selection | None = None

    @abstractmethod
    def prepare(self, document: Document) -> Prepared:
        """Preprocess one document for the model.

        Raises:
            RejectedDocument: the document cannot be processed, for example because of its language or size.
        """

    def prepare_each(self, documents: Sequence[Document], names: Sequence[str]) -> list[Prepared | RejectedDocument]:
        """Like `prepare`, for many documents, which may take less time. Those that cannot be processed are rejected.

        Args:
            documents: the documents.
            names: name of each document for the log.
        """
        return each_or_reject(self.prepare, documents, names)

    @abstractmethod
    def tokens(self, prepared: Prepared) -> int:
        """Number of tokens of a prepared document that the model reads."""

    @abstractmethod
    def predict_prepared(self, prepared: Sequence[Prepared], top: int) -> list[Explanation]:
        """Rank the keyphrases of each prepared document; return at most `top` for each, in the order of `prepared`."""

    def predict_each(
        self, prepared: Sequence[Prepared], top: int, names: Sequence[str]
    ) -> list[Explanation | RejectedDocument]:
        """Like `predict_prepared`, but a document that makes it fail is rejected, and the others are predicted.

        Args:
            prepared: the prepared documents.
            top: maximum number of keyphrases for one document.
            names: name of each document for the log.
        """
        return all_or_each(lambda several: self.predict_prepared(several, top), prepared, names)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that the predictions depend on (configuration, weights, tagger), as JSON values."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write a folder that `kpray.open_predictor(folder)` can open."""

    @property
    def selection(self) -> Selection:
        """The options that `prepare` and `predict_prepared` follow."""
        from kpray.selection import PLAIN

        return self._selection or PLAIN

    def selecting(self, options: SelectionOptions, *, embeddings: bool = False, support: bool = False) -> Self:
        """A predictor that shares the loaded model and follows other options.

        Args:
            options: the options.
            embeddings: whether its `Explanation`s have embeddings.
            support: whether its `Explanation`s have `support`, if the method gives it. This can take twice as long as
                the prediction.

        Raises:
            UserError: the method does not support them.
        """
        from kpray.selection import Selection

        selection = Selection(options, embeddings=embeddings, support=support and self.gives_support)
        if options.model_dump(exclude_defaults=True) and not self.takes_options:
            name = next(iter(options.model_dump(exclude_defaults=True)))
            raise UserError(f"{name} is set, but {self.kind} does not support it", fix=f"remove {name}")
        if embeddings and not self.gives_embeddings:
            raise UserError(f"{self.kind} has no embeddings of phrases", fix="use samrank, or remove embeddings")
        needed = not selection.plain or selection.support
        if not needed and self._selection is None:
            return self
        chosen = copy(self)
        chosen._selection = selection if needed else None
        return chosen

    @overload
    def predict(
        self, documents: Text, *, top: int = ..., explain: Literal[False] = ..., **options: Unpack[SelectionKeywords]
    ) -> list[Keyphrase]: ...

    @overload
    def predict(
        self,
        documents: Text,
        *,
        top: int = ...,
        explain: Literal[True],
        embeddings: bool = ...,
        **options: Unpack[SelectionKeywords],
    ) -> Explanation: ...

    @overload
    def predict(
        self,
        documents: Iterable[Any],
        *,
        top: int = ...,
        explain: Literal[False] = ...,
        **options: Unpack[SelectionKeywords],
    ) -> list[list[Keyphrase] | Rejected]: ...

    @overload
    def predict(
        self,
        documents: Iterable[Any],
        *,
        top: int = ...,
        explain: Literal[True],
        embeddings: bool = ...,
        **options: Unpack[SelectionKeywords],
    ) -> list[Explanation | Rejected]: ...

    def predict(
        self,
        documents: Text | Iterable[Any],
        *,
        top: int = 10,
        explain: bool = False,
        embeddings: bool = False,
        **options: Unpack[SelectionKeywords],
    ) -> Any:
        """Rank the keyphrases of one document, or of each of many. `predictor(documents)` is the same.

        A document is a text, a `Document`, what `kpray.read_records` yields, or a row of a table: a mapping with one of
        the fields that files have, such as `text`, or `title` and `abstract`. The language is detected where none is
        named.

        Args:
            documents: one document, or any iterable of documents: a list, a generator, a column or a table of pandas,
                Polars, pyarrow or `datasets`. A document's result does not depend on the other documents.
            top: maximum number of keyphrases for one document.
            explain: return `Explanation`s, with the score of every token or with what was retrieved, instead of lists
                of keyphrases.
            embeddings: with `explain`, also return a vector for each keyphrase (`Explanation.embeddings`).
            **options: which keyphrases are returned: the fields of `kpray.selection.SelectionOptions`.

        Returns:
            For one document, its keyphrases, best first, or its `Explanation`. For many, a list of these in the order
            of `documents`; a document that cannot be processed is a `RejectedDocument` in its position.

        Raises:
            RejectedDocument: the only document cannot be processed.
            UserError: `top` is not positive, an option is wrong, or a text is the name of a file.
            TypeError: `documents` or one of them is not what is described above.
        """
        if isinstance(top, bool) or not isinstance(top, int):
            raise TypeError(f"top must be an integer, not {type(top).__name__}")
        if top < 1:
            raise UserError(f"top is {top}", fix="give 1 or more")
        if embeddings and not explain:
            raise UserError("embeddings are a part of the explanations", fix="give explain=True, too")
        support = explain and self.gives_support and not self.selection.support
        if options or embeddings or support:
            from kpray.selection import options_from

            given = options_from(options) if options else self.selection.options
            chosen = self.selecting(given, embeddings=embeddings, support=explain)
            return chosen.predict(documents, top=top, explain=explain)  # type: ignore[call-overload]
        from kpray.texts import is_one, to_document, to_documents

        if not is_one(documents):
            results = self._predict_all(to_documents(documents), top)
            return [each.keyphrases if isinstance(each, Explanation) and not explain else each for each in results]
        [result] = self._predict_all([to_document(documents)], top)
        if isinstance(result, RejectedDocument):
            raise result
        return result if explain else result.keyphrases

    __call__ = predict

    def _predict_all(
        self, documents: Iterable[Document | RejectedDocument], top: int
    ) -> list[Explanation | RejectedDocument]:
        """The explanation of each document, or why there is none."""
        prepared: list[Prepared] = []
        ids: list[str] = []
        results: list[Explanation | RejectedDocument | None] = []  # None: is predicted below
        remaining = iter(documents)
        while several := list(islice(remaining, _PREPARED_AT_ONCE)):
            accepted = [each for each in several if not isinstance(each, RejectedDocument)]
            ready = iter(self.prepare_each(accepted, [f"document {each.id}" for each in accepted]))
            for document in several:
                if isinstance(document, RejectedDocument):
                    results.append(document)
                    continue
                found = next(ready)
                if isinstance(found, RejectedDocument):
                    results.append(type(found)(found.reason, document.id))
                else:
                    prepared.append(found)
                    ids.append(document.id)
                    results.append(None)
        predicted = self.predict_each(prepared, top, [f"document {id}" for id in ids])
        explanations = iter(
            type(each)(each.reason, id) if isinstance(each, RejectedDocument) else each
            for each, id in zip(predicted, ids, strict=True)
        )
        return [next(explanations) if result is None else result for result in results]

    def push_to_hub(
        self, name: str, *, private: bool | None = None, token: str | None = None, license: str | None = None
    ) -> str:
        """Upload the predictor to the Hugging Face hub, with a model card. `kpray.open_predictor(name)` opens it.

        Args:
            name: id of the repository, `organization/name`; it is created if it does not exist.
            private: whether a new repository is private; None: the organization's default.
            token: access token; None: the one of `hf auth login` or of the variable HF_TOKEN.
            license: license of the model for its card, such as `apache-2.0`; None: the card names none.

        Returns:
            The address of the uploaded commit.

        Raises:
            UserError: the hub cannot be reached or refuses the upload, or another machine could not open the predictor.
        """
        from kpray.hub import push

        about = getdoc(type(self)) or self.kind
        trained = getattr(self.config, "folder", None)
        return push(self.save, name, about, trained, private=private, token=token, license=license)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the configuration only: the process that unpickles it opens the predictor, once."""
        if self._selection is None:
            return reopen, (type(self), self.config)
        wanted = self._selection
        return _reopen_selecting, (type(self), self.config, wanted.options, wanted.embeddings, wanted.support)

    def __copy__(self) -> Self:
        """A predictor that shares the loaded model."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: a predictor does not change."""
        return self


@lru_cache(maxsize=2)
def reopen(method: Callable[[Any], Predictor[Any]], config: Any) -> Predictor[Any]:
    """Open a pickled predictor. It stays open, because each task of joblib or Dask unpickles it again.

    Raises:
        UserError: the predictor cannot be opened in this process.
    """
    try:
        return method(config)
    except UserError as error:
        raise UserError(
            f"a pickled predictor cannot be opened: {error}",
            fix="a pickle has the configuration only: every machine needs the same folders and packages",
        ) from error


def _reopen_selecting(
    method: Any, config: Any, options: SelectionOptions, embeddings: bool, support: bool
) -> Predictor[Any]:
    return reopen(method, config).selecting(options, embeddings=embeddings, support=support)


def saved_folder(folder: str | Path) -> Path:
    """Make the folder for `Predictor.save`.

    Raises:
        UserError: it is a URI, or it cannot be made.
        TypeError: it is no path.
    """
    if not isinstance(folder, str | Path):
        raise TypeError(f"save needs the path of a folder, not {type(folder).__name__}")
    if "://" in str(folder):
        raise UserError(
            "a predictor is saved in a local folder", where=str(folder), fix="save it there, then upload it"
        )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from error
    return Path(folder)
