"""Documents that are prepared together give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from kpray.corpus.quickstart import quickstart_records
from kpray.document import Document
from kpray.errors import RejectedDocument
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank
from kpray.text.tagging import Tagger
from tests.samrank.tiny_models import TinyModel

ODD = [
    Document("empty", "", lang="en"),
    Document("titles", "A Survey Of Sparse Graph Solvers\n\nNASA BUILDS LARGE ROCKETS. They fly.", lang="en"),
    Document("surrogate", "half \ud800", lang="en"),
    Document("unknown", "graph theory", lang="xx"),
    Document("table", "| name | year |\n| Dr. Who | 1963 |", lang="en_GB"),
    Document("German", "Die Graphentheorie hilft bei großen Netzen.", lang="de"),
]


def contents(value: Any) -> Any:
    """Everything in a value, with the bytes of arrays."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, RejectedDocument):
        return (type(value), value.reason)
    if is_dataclass(value):
        return [contents(getattr(value, field.name)) for field in fields(value)]
    return [contents(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("rule", ["extended", "paper"])
@pytest.mark.parametrize("at_once", [500_000, 700])
def test_documents_do_not_depend_on_their_batch(
    rule: Any, at_once: int, tiny_model: Callable[[str], TinyModel], tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kpray.samrank.predictor.TAGGED_CHARACTERS", at_once)
    predictor = SAMRank(SAMRankConfig(model=tiny_model("bert").folder, heads=("2-1",), candidates=rule))
    records = [record.document for record in quickstart_records()]
    documents = [*ODD[:3], *records[:22], *ODD[3:], *records[-22:]]
    assert len(documents) == 50
    names = [document.id for document in documents]
    together = predictor.prepare_each(documents, names)
    alone = [predictor.prepare_each([each], [each.id])[0] for each in documents]
    assert contents(together) == contents(alone)
    rejected = [name for name, each in zip(names, together, strict=True) if isinstance(each, RejectedDocument)]
    assert rejected == ["surrogate", "unknown"]
    accepted = [each for each in documents if each.id not in rejected]
    assert contents([predictor.prepare(each) for each in accepted]) == contents(
        [each for each in together if not isinstance(each, RejectedDocument)]
    )
    found = predictor.predict(documents)
    assert contents(found) == contents([predictor.predict([each])[0] for each in documents])


def test_a_tagger_that_fails_rejects_one_document(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    def tag(sentences: Any) -> list[list[str]]:
        if any("poison" in words for words in sentences):
            raise IndexError
        return tagger.tag_sentences(sentences)

    predictor = SAMRank(SAMRankConfig(model=tiny_model("bert").folder, heads=("2-1",)))
    predictor.tagger = Tagger(tagger.name, tag)
    texts = ["Sparse graphs help.", "The poison kills.", "Large networks learn."]
    documents = [Document(str(index), text, lang="en") for index, text in enumerate(texts)]
    first, second, third = predictor.predict(documents)
    assert isinstance(second, RejectedDocument)
    assert second.reason == "internal error: IndexError"
    assert first == predictor.predict(documents[0])
    assert third == predictor.predict(documents[2])
