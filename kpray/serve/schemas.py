"""Messages over HTTP: the request, the answer, and errors. /docs shows the docstrings of the messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from kpray.predictor import Explanation


def _whole(text: str) -> str:
    text.encode("utf-8")  # a lone surrogate, which JSON can name, could not be sent back
    return text


def _integer(value: object) -> object:
    """JSON has no integers of its own: 5.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Lang = Annotated[str, Field(min_length=1, max_length=35), AfterValidator(_whole)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class DocumentMessage(_Message):
    """One text."""

    text: str
    """The abstract, the full text, or both."""
    title: str = ""
    """Stands before the text, with ". " between them where it does not end a sentence."""
    id: Annotated[str, Field(max_length=200), AfterValidator(_whole)] | None = None
    """Comes back with the result."""
    lang: Lang | None = None
    """Its language (`en`, `zh_CN`)."""


class KeyphrasesRequest(_Message):
    """Documents to describe."""

    documents: Annotated[list[DocumentMessage], Field(min_length=1)]
    """One or several; `limits` of /v1/models says how long each may be."""
    top: Annotated[int, Field(ge=1), BeforeValidator(_integer)] = 10
    """Most keyphrases of a document."""
    model: str | None = None
    """One of /v1/models; left out: the first."""
    lang: Lang | None = None
    """Language of documents that name none."""
    explain: bool = False
    """Also return what led to the keyphrases: the score of each token, and what was retrieved."""


def request_model(models: Sequence[str], documents: int, top: int) -> type[KeyphrasesRequest]:
    """`KeyphrasesRequest` with the models and the limits of a service, which /docs then shows."""
    most_documents = Annotated[list[DocumentMessage], Field(min_length=1, max_length=documents)]
    at_most = Annotated[int, Field(ge=1, le=top), BeforeValidator(_integer)]
    fields: dict[str, Any] = {
        "documents": (most_documents, _described("documents")),
        "top": (at_most, _described("top", default=min(10, top))),
        "model": (Literal[tuple(models)] | None, _described("model", default=None)),
    }
    return create_model("KeyphrasesRequest", __base__=KeyphrasesRequest, **fields)


def _described(name: str, **more: Any) -> Any:
    return Field(description=KeyphrasesRequest.model_fields[name].description, **more)


class KeyphraseMessage(_Message):
    """One predicted phrase."""

    text: str
    """As it first stands in the document, or as it was generated."""
    score: float
    """Higher is better; comparable within one document only."""
    present: bool
    """Whether the phrase's stemmed words stand in the document side by side."""


class TokenMessage(_Message):
    """One token of a document."""

    start: int
    """Where it begins, in characters (code points) of title and text together."""
    end: int
    """Where it ends."""
    score: float
    """Higher is more important; comparable within one document only."""


class EvidenceMessage(_Message):
    """An English passage whose keyphrases helped."""

    text: str
    """Title and text of the passage."""
    keyphrases: list[str]
    """Its own keyphrases."""
    score: float
    """Higher is nearer."""


class DocumentError(_Message):
    """Why one document has no keyphrases."""

    code: str
    """`rejected`: the document cannot be processed; `too_long`: it is beyond a limit."""
    message: str
    """For people."""


class Result(_Message):
    """The keyphrases of one document, or its error."""

    id: str | None = None
    """Of the document."""
    keyphrases: list[KeyphraseMessage] = []
    """In rank order."""
    tokens: list[TokenMessage] | None = None
    """With `explain`: each token."""
    evidence: list[EvidenceMessage] | None = None
    """With `explain`: what was retrieved, the nearest first."""
    error: DocumentError | None = None
    """Only where there is one."""


class KeyphrasesResponse(_Message):
    """One result for each document, in their order."""

    model: str
    """Which answered."""
    version: str
    """Of the model; another one may give other keyphrases."""
    results: list[Result]


_RESULTS = TypeAdapter(list[Result])


def results_json(results: list[Result]) -> bytes:
    """`KeyphrasesResponse.results`, written where the model is: no process on the way parses it."""
    return _RESULTS.dump_json(results, exclude_none=True)


def response_json(model: str, version: str, results: bytes) -> bytes:
    """A `KeyphrasesResponse` around results that are JSON already."""
    names = KeyphrasesResponse(model=model, version=version, results=[]).model_dump_json(exclude={"results"})
    return b'%b,"results":%b}' % (names[:-1].encode(), results)


class ModelMessage(_Message):
    """One model that can be asked for."""

    name: str
    kind: str
    """Method: samrank, unikeyphrase, ..."""
    version: str


class LimitsMessage(_Message):
    """What one request may ask for."""

    body_bytes: int
    documents: int
    characters: int
    tokens: int
    top: int
    seconds: float
    documents_per_minute: int | None


class ModelsResponse(_Message):
    """The models, the default one first, and the limits."""

    models: list[ModelMessage]
    limits: LimitsMessage


class ErrorDetail(_Message):
    """What is wrong with a request."""

    code: str
    """For programs."""
    message: str
    """For people."""
    request_id: str
    """Stands in the log, and in the header X-Request-ID."""


class ErrorResponse(_Message):
    """The body of every answer that is no success."""

    error: ErrorDetail


class HealthResponse(_Message):
    """Whether the service is up."""

    status: str


def result_of(id: str | None, explanation: Explanation, *, explain: bool) -> Result:
    """The result of a document that was processed."""
    phrases = [
        KeyphraseMessage(text=phrase.text, score=phrase.score, present=phrase.present)
        for phrase in explanation.keyphrases
    ]
    if not explain:
        return Result(id=id, keyphrases=phrases)
    tokens = [
        TokenMessage(start=start, end=end, score=score)
        for (start, end), score in zip(explanation.spans.tolist(), explanation.scores.tolist(), strict=True)
    ]
    evidence = [
        EvidenceMessage(text=found.document.text, keyphrases=list(found.keyphrases), score=found.score)
        for found in explanation.evidence
    ]
    return Result(id=id, keyphrases=phrases, tokens=tokens, evidence=evidence)
