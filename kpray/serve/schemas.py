"""The HTTP messages: requests, responses and errors. /docs shows the docstrings of the classes and their fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from kpray.predictor import Explanation, Support
from kpray.selection import SelectionOptions

_PHRASE_CHARACTERS = 100
_MOST_PHRASES = 1000
_MOST_SEEDS = 20


def _whole(text: str) -> str:
    text.encode("utf-8")  # fails for lone surrogates, which JSON allows but a response cannot contain
    return text


def _integer(value: object) -> object:
    """Accept 5.0 as an integer, because JSON does not distinguish integers from floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _option(name: str) -> Any:
    """A field of a request that is an option of `SelectionOptions`, with the same default and description."""
    info = SelectionOptions.model_fields[name]
    description, _, _ = str(info.description).partition(" On the command line")
    default = list(info.default) if isinstance(info.default, tuple) else info.default
    return Field(default=default, description=description.partition(" A name that ends in .txt")[0])


Integer = BeforeValidator(_integer)
Phrases = list[Annotated[str, Field(max_length=_PHRASE_CHARACTERS, pattern=r"\S"), AfterValidator(_whole)]]
Words = list[Annotated[str, Field(max_length=_PHRASE_CHARACTERS), AfterValidator(_whole)]]
Lang = Annotated[str, Field(min_length=1, max_length=35), AfterValidator(_whole)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class DocumentMessage(_Message):
    """A document."""

    text: str
    """The abstract, the full text, or both."""
    title: str = ""
    """Title. It is put before the text, with ". " between them if the title does not end a sentence."""
    id: Annotated[str, Field(max_length=200), AfterValidator(_whole)] | None = None
    """Any text. It is returned with the result."""
    lang: Lang | None = None
    """Language of the document: a code (`en`, `zh_CN`), an English name, or `auto`."""


class KeyphrasesRequest(_Message):
    """A request for the keyphrases of documents."""

    documents: Annotated[list[DocumentMessage], Field(min_length=1)]
    """One or several documents. `limits` in /v1/models gives their maximum length."""
    top: Annotated[int, Field(ge=1), Integer] = 10
    """Maximum number of keyphrases per document."""
    diversity: Annotated[float, Field(ge=0, le=1)] = _option("diversity")
    nested: Literal["keep", "drop"] = _option("nested")
    min_score: Annotated[float, Field(ge=0, le=1)] = _option("min_score")
    min_frequency: Annotated[int, Field(ge=0), Integer] = _option("min_frequency")
    max_words: Annotated[int, Field(ge=1), Integer] | None = _option("max_words")
    vocabulary: Annotated[Phrases, Field(max_length=_MOST_PHRASES)] = _option("vocabulary")
    seeds: Annotated[Phrases, Field(max_length=_MOST_SEEDS)] = _option("seeds")
    stop_words: Annotated[Words, Field(max_length=_MOST_PHRASES)] = _option("stop_words")
    model: str | None = None
    """Name of a model in /v1/models. Default: the first model."""
    lang: Lang | None = None
    """Language of documents that do not name one. Default: the setting of the service, which detects it."""
    explain: bool = False
    """Also return the score of each token; or the retrieved passages, and on which of their keyphrases each phrase
    rests."""

    def selection(self) -> SelectionOptions:
        """The options that select keyphrases."""
        values = {name: getattr(self, name) for name in SelectionOptions.model_fields}
        # The JSON schemas of clients differ in what `$` and white space are, so a string may have several words here.
        values["stop_words"] = [word for text in self.stop_words for word in text.split()]
        return SelectionOptions(**values)


def request_model(models: Sequence[str], documents: int, top: int) -> type[KeyphrasesRequest]:
    """Make a subclass of `KeyphrasesRequest` that checks the models and limits of a service. /docs shows them."""
    most_documents = Annotated[list[DocumentMessage], Field(min_length=1, max_length=documents)]
    at_most = Annotated[int, Field(ge=1, le=top), Integer]
    fields: dict[str, Any] = {
        "documents": (most_documents, _described("documents")),
        "top": (at_most, _described("top", default=min(10, top))),
        "model": (Literal[tuple(models)] | None, _described("model", default=None)),
    }
    return create_model("KeyphrasesRequest", __base__=KeyphrasesRequest, **fields)


def _described(name: str, **more: Any) -> Any:
    return Field(description=KeyphrasesRequest.model_fields[name].description, **more)


class SupportMessage(_Message):
    """A retrieved keyphrase without which a generated phrase would be at most half as probable."""

    keyphrase: str
    """The keyphrase."""
    passages: list[int]
    """Indices in `evidence` of the passages that have this keyphrase, counted from 0."""
    gain: float
    """log2 of the factor by which it makes the phrase more probable: 1 means twice as probable, 2 four times."""


class KeyphraseMessage(_Message):
    """A predicted keyphrase."""

    text: str
    """The phrase as it first occurs in the document, or as it was generated."""
    score: float
    """Score between 0 and 1; higher is better. Scores are comparable only within a document."""
    present: bool
    """Whether the stemmed words of the phrase occur in the document next to each other."""
    offsets: list[tuple[int, int]]
    """Start and end of each occurrence, as offsets of characters (code points) in the title and text together."""
    support: list[SupportMessage] | None = None
    """With `explain`, if the model retrieves passages: the retrieved keyphrases that the phrase rests on, highest gain
    first."""


class TokenMessage(_Message):
    """A token of a document."""

    start: int
    """Offset of its first character (code point) in the title and text together."""
    end: int
    """Offset after its last character."""
    score: float
    """Score; higher is more important. Scores are comparable only within a document."""


class EvidenceMessage(_Message):
    """A retrieved English passage whose keyphrases helped the model."""

    text: str
    """Title and text of the passage."""
    keyphrases: list[str]
    """Keyphrases of the passage."""
    score: float
    """Similarity to the document; higher is more similar."""


class DocumentError(_Message):
    """The error of one document."""

    code: str
    """`rejected`: the document cannot be processed; `too_long`: it exceeds a limit; `unsupported`: the model does not
    support an option of the request; `internal`: the service failed unexpectedly on this document."""
    message: str
    """Message for people."""


class Result(_Message):
    """The keyphrases of one document, or its error."""

    id: str | None = None
    """Id of the document."""
    lang: str | None = None
    """Language of the document, as given or as detected."""
    keyphrases: list[KeyphraseMessage] = []
    """Keyphrases, best first."""
    tokens: list[TokenMessage] | None = None
    """With `explain`: the tokens."""
    evidence: list[EvidenceMessage] | None = None
    """With `explain`: the retrieved passages, most similar first."""
    error: DocumentError | None = None
    """The error, if there is one."""


class KeyphrasesResponse(_Message):
    """One result for each document, in the order of the request."""

    model: str
    """Name of the model."""
    version: str
    """Version of the model. Other versions may give other keyphrases."""
    results: list[Result]


_RESULTS = TypeAdapter(list[Result])


def results_json(results: list[Result]) -> bytes:
    """Write `KeyphrasesResponse.results` as JSON. The replica does this, so that the ingress need not parse them."""
    return _RESULTS.dump_json(results, exclude_none=True)


def response_json(model: str, version: str, results: bytes) -> bytes:
    """Write a `KeyphrasesResponse` as JSON, with results that are already JSON."""
    names = KeyphrasesResponse(model=model, version=version, results=[]).model_dump_json(exclude={"results"})
    return b'%b,"results":%b}' % (names[:-1].encode(), results)


class ModelMessage(_Message):
    """A model that a request can name."""

    name: str
    kind: str
    """Method of the model, such as `samrank`."""
    version: str


class LimitsMessage(_Message):
    """The limits of a request."""

    body_bytes: int
    documents: int
    characters: int
    tokens: int
    top: int
    seconds: float
    characters_per_minute: int | None


class ModelsResponse(_Message):
    """The models, with the default first, and the limits of a request."""

    models: list[ModelMessage]
    limits: LimitsMessage


class ErrorDetail(_Message):
    """The error of a request."""

    code: str
    """Error code for programs."""
    message: str
    """Message for people."""
    request_id: str
    """Id of the request in the log and in the header X-Request-ID."""


class ErrorResponse(_Message):
    """The body of every error response."""

    error: ErrorDetail


class HealthResponse(_Message):
    """Status of the service."""

    status: str


def result_of(id: str | None, lang: str, explanation: Explanation, *, explain: bool) -> Result:
    """Make the result of a document from its explanation."""
    phrases = [
        KeyphraseMessage(
            text=phrase.text,
            score=phrase.score,
            present=phrase.present,
            offsets=list(phrase.offsets),
            support=_support_of(explanation.support[index]) if explain and explanation.support is not None else None,
        )
        for index, phrase in enumerate(explanation.keyphrases)
    ]
    if not explain:
        return Result(id=id, lang=lang, keyphrases=phrases)
    tokens = [
        TokenMessage(start=start, end=end, score=score)
        for (start, end), score in zip(explanation.spans.tolist(), explanation.scores.tolist(), strict=True)
    ]
    evidence = [
        EvidenceMessage(text=found.document.text, keyphrases=list(found.keyphrases), score=found.score)
        for found in explanation.evidence
    ]
    return Result(id=id, lang=lang, keyphrases=phrases, tokens=tokens, evidence=evidence)


def _support_of(support: Sequence[Support]) -> list[SupportMessage]:
    return [SupportMessage(keyphrase=each.keyphrase, passages=list(each.passages), gain=each.gain) for each in support]
