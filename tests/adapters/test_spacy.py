"""The component in spaCy itself: one text, a stream, spans, and pipelines and documents that are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kpray import Document
from kpray.errors import UserError
from kpray.predictor import Predictor
from tests.adapters.conftest import TEXTS

pytest.importorskip("spacy", reason="spaCy (extra `spacy`) is not installed")

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

import kpray.adapters.spacy


@pytest.fixture(scope="module")
def nlp(config: dict[str, Any]) -> Language:
    """An English pipeline with the component alone."""
    nlp = spacy.blank("en")
    nlp.add_pipe("kpray", config={"config": config, "top": 5})
    return nlp


def texts_of(doc: Doc) -> list[str]:
    return [keyphrase.text for keyphrase in doc._.keyphrases]


def test_document_has_its_keyphrases(nlp: Language, predictor: Predictor[Any]) -> None:
    doc = nlp(TEXTS[1])
    assert doc._.keyphrases == predictor.predict(Document(body=TEXTS[1], lang="en"), top=5)


def test_spans_are_the_occurrences(nlp: Language) -> None:
    doc = nlp(TEXTS[1])
    spans = doc.spans["keyphrases"]
    [label] = {span.label_ for span in spans if span.text == "wind turbine"}
    assert label in texts_of(doc)
    assert [span.text for span in spans if span.label_ == label] == ["Wind turbines", "wind turbine"]
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_stream(nlp: Language, phrases: list[list[str]]) -> None:
    texts = TEXTS * 40
    assert [texts_of(doc) for doc in nlp.pipe(texts, batch_size=7)] == phrases * 40


def test_document_before_the_component() -> None:
    doc = spacy.blank("en")("A text.")
    assert doc._.keyphrases == []


def test_pipeline_on_disk(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert again(TEXTS[0])._.keyphrases == nlp(TEXTS[0])._.keyphrases
    assert again.get_pipe_config("kpray")["top"] == 5
    assert spacy.blank("en").from_bytes(nlp.to_bytes()).lang == "en"


def test_stored_documents_keep_their_keyphrases(nlp: Language) -> None:
    doc = nlp(TEXTS[1])
    stored = DocBin(docs=[doc], store_user_data=True).to_bytes()
    [again] = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    assert again._.keyphrases == doc._.keyphrases
    assert [span.text for span in again.spans["keyphrases"]] == [span.text for span in doc.spans["keyphrases"]]


def test_language_of_the_pipeline_is_named_or_detected(config: dict[str, Any]) -> None:
    german = "Die Sonnenkollektoren verlieren mit dem Alter an Leistung und die Preise der Kollektoren steigen."
    for lang in ("de", "xx"):
        nlp = spacy.blank(lang)
        nlp.add_pipe("kpray", config={"config": config})
        assert "Sonnenkollektoren" in texts_of(nlp(german))


def test_rejected_document_is_a_warning(config: dict[str, Any]) -> None:
    nlp = spacy.blank("grc")  # ancient Greek, for which kpray has no stop words
    nlp.add_pipe("kpray", config={"config": config})
    with pytest.warns(UserWarning, match="no keyphrases for document 1: "):
        assert texts_of(nlp("ἐν ἀρχῇ ἦν ὁ λόγος")) == []


def test_empty_text(nlp: Language) -> None:
    doc = nlp("")
    assert (texts_of(doc), len(doc.spans["keyphrases"])) == ([], 0)


def test_wrong_predictor() -> None:
    with pytest.raises(UserError, match="'samrnk' is not a predictor"):
        spacy.blank("en").add_pipe("kpray", config={"predictor": "samrnk"})


def test_component_is_found_by_its_entry_point() -> None:
    """spaCy finds it in the installed package, without an import of the program."""
    from importlib.metadata import entry_points

    found = [each for each in entry_points(group="spacy_factories") if each.name == "kpray"]
    if not found:
        pytest.skip("kpray was installed before it had this entry point")
    assert found[0].load() is kpray.adapters.spacy.make_component
