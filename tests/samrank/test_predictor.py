"""SAMRank from text to ranked keyphrases agrees with the naive implementation, alone and in any batch."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from copy import copy
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.document import Document
from kpray.errors import RejectedDocument, UserError
from kpray.samrank.attention import AttentionModel
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.phrases import ONCE, phrase_scores
from kpray.samrank.predictor import SAMRank
from kpray.text.candidates import find_candidates
from kpray.text.stems import stem_phrase
from kpray.text.tagging import Tagger
from tests.samrank import naive
from tests.samrank.tiny_models import MOST_TOKENS, SAVE, SENTENCES, TinyModel

KINDS = tuple(SAVE)
HEADS = ("3-2", "1-4", "2-1")
MODES = [
    {"score": score, "redistribution": redistribution, "weighting": weighting}
    for score, redistribution, weighting in product(
        ("both", "global", "proportional"), ("backward", "forward"), ("unit", "global")
    )
]
PAPER: dict[str, Any] = {
    "weighting": "unit",
    "candidates": "paper",
    "position_scale": None,
    "merge_stems": False,
}
LONG = Document("long", " ".join(SENTENCES), title="Attention maps of sparse networks")
SHORT = Document("short", SENTENCES[1][:64])
FRENCH = Document("french", "Les réseaux de neurones apprennent la structure des graphes épars.", lang="fr")
WITHOUT_CANDIDATES = Document("none", "It is so.")
DOCUMENTS = (LONG, SHORT, WITHOUT_CANDIDATES, FRENCH, Document("one", "networks"))


@cache
def _predictor(config: SAMRankConfig) -> SAMRank:
    return SAMRank(config)


def open_samrank(model: TinyModel, **fields: Any) -> SAMRank:
    return _predictor(SAMRankConfig.model_validate({"model": model.folder, "heads": HEADS, **fields}))


def largest_rounding(best: float) -> float:
    """Largest error of a share of the best score. Scores are rounded to five digits of it before they are divided."""
    return 10.0 ** (math.ceil(math.log10(best)) - 5) / best


def assert_as_naive(predictor: SAMRank, model: TinyModel, document: Document, *, several: bool) -> None:
    """Check that token scores and phrase scores agree; `several`: whether the document has several segments."""
    config, text = predictor.config, document.text
    tokens = naive.score_tokens(text, model, config)
    assert (tokens.segment_of[-1] > 0) is several
    prepared = predictor.prepare(document)
    token_scores = predictor.token_scores(predictor.score_segments(prepared.segments))
    np.testing.assert_allclose(token_scores, tokens.scores, rtol=1e-5, atol=1e-5)

    words, found = find_candidates(text, document.lang, config.candidates, predictor.tagger)
    candidates = [(start, end) for start, end in found.tolist()]
    by_phrase = naive.phrase_scores(words.texts, words.spans, candidates, tokens)
    assert [tuple(phrase.lower().split()) for phrase in prepared.phrases] == list(by_phrase)
    np.testing.assert_allclose(
        phrase_scores(token_scores, prepared.occurrences).T, list(by_phrase.values()), rtol=1e-5, atol=1e-5
    )

    expected = naive.rank(text, document.lang, words.texts, words.spans, candidates, tokens, config)
    assert len(expected) > 2
    [explanation] = predictor.predict([document], top=1000, explain=True)
    assert explanation.spans.tolist() == [list(span) for span in tokens.spans]
    shares = tokens.scores / tokens.scores.max(axis=1, keepdims=True)
    np.testing.assert_allclose(explanation.scores, shares.mean(axis=0), rtol=1e-5, atol=1e-5)
    scores = {stem_phrase(phrase.text, document.lang): phrase.score for phrase in explanation.keyphrases}
    assert len(scores) == len(explanation.keyphrases)
    best = max(expected.values())
    shares_of_best = {stems: score / best for stems, score in expected.items()}
    assert scores == pytest.approx(shares_of_best, rel=0, abs=largest_rounding(best))
    assert all(one.score >= other.score for one, other in pairwise(explanation.keyphrases))
    assert all(phrase.present and phrase.text in text for phrase in explanation.keyphrases)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(mode.values()))
@pytest.mark.parametrize("kind", KINDS)
def test_small_models_rank_as_in_the_paper(
    kind: str, mode: dict[str, str], tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    model = tiny_model(kind)
    assert_as_naive(open_samrank(model, **mode), model, LONG, several=True)


@pytest.mark.parametrize("fields", [PAPER, {**PAPER, "heads": ("2-4",)}, {"heads": ("1-2",)}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_options_of_the_paper(
    kind: str, fields: dict[str, Any], tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    model = tiny_model(kind)
    predictor = open_samrank(model, **fields)
    assert_as_naive(predictor, model, LONG, several=True)
    assert_as_naive(predictor, model, SHORT, several=False)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(mode.values()))
def test_minilm_ranks_as_in_the_paper(mode: dict[str, str], minilm: TinyModel, tagger: Tagger) -> None:
    heads = ("4-12", "6-11", "1-3")
    assert_as_naive(open_samrank(minilm, heads=heads, segment_tokens=48, **mode), minilm, LONG, several=True)


@pytest.mark.parametrize("fields", [{}, PAPER], ids=["default", "paper"])
def test_minilm_in_one_segment(fields: dict[str, Any], minilm: TinyModel, tagger: Tagger) -> None:
    heads = SAMRankConfig().heads
    assert_as_naive(open_samrank(minilm, **{"heads": heads, **fields}), minilm, LONG, several=False)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(order=st.permutations(DOCUMENTS), batch_tokens=st.integers(1, 2000))
def test_predictions_do_not_depend_on_batch_or_order(
    kind: str, tiny_model: Callable[[str], TinyModel], tagger: Tagger, order: list[Document], batch_tokens: int
) -> None:
    predictor = open_samrank(tiny_model(kind))
    alone = {document.id: predictor.predict([document], top=100)[0] for document in DOCUMENTS}
    other = copy(predictor)  # shares the loaded model
    other.config = predictor.config.model_copy(update={"batch_tokens": batch_tokens})
    for document, together in zip(order, other.predict(order, top=100), strict=True):
        expected = {phrase.text: phrase.score for phrase in alone[document.id]}
        assert {phrase.text: phrase.score for phrase in together} == pytest.approx(expected, rel=0, abs=1e-4)


def test_top_cuts_the_full_ranking(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    predictor = open_samrank(tiny_model("bert"))
    [every] = predictor.predict([LONG], top=1000)
    assert len(every) > 10
    assert predictor.predict([LONG], top=4) == [every[:4]]
    assert predictor.predict([LONG]) == [every[:10]]
    with pytest.raises(UserError, match="top is 0"):
        predictor.predict([LONG], top=0)


def test_document_that_fails_unexpectedly_is_rejected_in_its_position(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = open_samrank(tiny_model("bert"))
    expected = predictor.predict([SENTENCES[0], SENTENCES[1]])
    whole, begin, finish = predictor.predict_prepared, predictor._begin, predictor._finish
    poisoned: list[int] = []

    def begin_or_fail(document: Document) -> Any:
        if "Early" in document.text:
            raise RecursionError
        return begin(document)

    def finish_and_note(begun: Any, tags: Any) -> Any:
        prepared = finish(begun, tags)
        poisoned.extend([id(prepared)] if "Poison" in begun.document.text else [])
        return prepared

    def fail(prepared: Any, top: int) -> Any:
        return whole(prepared, top // (not any(id(each) in poisoned for each in prepared)))

    monkeypatch.setattr(predictor, "predict_prepared", fail)
    monkeypatch.setattr(predictor, "_begin", begin_or_fail)
    monkeypatch.setattr(predictor, "_finish", finish_and_note)
    first, early, poison, last = predictor.predict([SENTENCES[0], "Early.", "Poison.", SENTENCES[1]])
    assert [first, last] == expected
    assert str(early) == "document 2: internal error: RecursionError"
    assert str(poison) == "document 3: internal error: ZeroDivisionError"
    with pytest.raises(RejectedDocument, match=r"^internal error: ZeroDivisionError$"):
        predictor.predict("Poison.")


def test_no_documents(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    assert open_samrank(tiny_model("bert")).predict([]) == []


def test_document_without_candidates_has_token_scores_of_0(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    [explanation] = open_samrank(tiny_model("bert")).predict([WITHOUT_CANDIDATES], explain=True)
    assert explanation.keyphrases == []
    assert explanation.scores.tolist() == [0.0] * len(explanation.spans)
    assert len(explanation.spans) > 0


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(words=st.integers(1, 300), limit=st.integers(8, MOST_TOKENS - 1))
def test_segments_hold_every_token_once_within_the_limit(
    kind: str, tiny_model: Callable[[str], TinyModel], tagger: Tagger, words: int, limit: int
) -> None:
    model = tiny_model(kind)
    predictor = copy(open_samrank(model))
    predictor.segment_tokens = limit
    text = " ".join((["Graph", "theory", "helps", "."] * words)[: words + 1])
    prepared = predictor.prepare(Document("1", text))
    prefix, suffix = list(model.prefix), list(model.suffix)
    lengths = []
    ids: list[int] = []
    for segment in prepared.segments:
        whole = segment.tolist()
        assert whole[: len(prefix)] == prefix
        assert whole[len(whole) - len(suffix) :] == suffix
        ids += whole[len(prefix) : len(whole) - len(suffix)]
        lengths.append(len(whole))
    assert ids == predictor.tokenizer.encode(text, add_special_tokens=False).ids
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_exactly_the_limit_is_one_segment(
    kind: str, tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    model = tiny_model(kind)
    predictor = open_samrank(model)
    room = model.most_tokens - len(model.prefix) - len(model.suffix)
    encoding = predictor.tokenizer.encode(LONG.body, add_special_tokens=False)
    text = LONG.body[: encoding.offsets[room - 1][1]]
    assert len(predictor.tokenizer.encode(text, add_special_tokens=False).ids) == room
    assert len(predictor.prepare(Document("1", text)).segments) == 1
    assert len(predictor.prepare(Document("1", text + " graphs")).segments) == 2
    assert_as_naive(predictor, model, Document("1", text), several=False)


@pytest.mark.parametrize("kind", KINDS)
def test_segments_fit_into_the_model(kind: str, tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    model = tiny_model(kind)
    assert open_samrank(model).segment_tokens == model.most_tokens
    assert open_samrank(model, segment_tokens=10 * MOST_TOKENS).segment_tokens == model.most_tokens
    assert open_samrank(model, segment_tokens=20).segment_tokens == 20


def test_only_the_layers_of_the_heads_are_loaded(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    predictor = open_samrank(tiny_model("bert"), heads=("1-2", "2-1"))
    assert predictor.model.layers == 2


def test_prepared_document_can_be_sent_to_another_process(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    predictor = open_samrank(tiny_model("gpt2"))
    sent = pickle.loads(pickle.dumps(predictor.prepare(LONG)))
    [explanation] = predictor.predict_prepared([sent], 10)
    assert explanation.keyphrases == predictor.predict([LONG])[0]


def test_description_names_tagger_and_configuration(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    predictor = open_samrank(tiny_model("bert"))
    assert predictor.describe() == {
        "predictor": "samrank",
        "tagger": tagger.name,
        "config": predictor.config.model_dump(mode="json"),
    }


def test_phrases_with_equal_stems_are_one_and_shown_in_the_best_spelling(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    document = Document("1", "Graphe épars. Les graphes épars sont. Avec des graphes épars. Le soleil.", lang="fr")
    model = tiny_model("bert")
    [[merged, other]] = open_samrank(model, heads=("1-1",), position_scale=None).predict([document])
    [[apart, same]] = open_samrank(model, heads=("1-1",), position_scale=None, merge_stems=False).predict([document])
    words, found = find_candidates(document.text, "fr", "extended", tagger)
    config = SAMRankConfig(model=model.folder, heads=("1-1",))
    tokens = naive.score_tokens(document.text, model, config)
    by_phrase = naive.phrase_scores(words.texts, words.spans, found.tolist(), tokens)
    one, several = by_phrase["graphe", "épars"].item(), by_phrase["graphes", "épars"].item()
    assert several > one
    sun = by_phrase[("soleil",)].item()
    assert merged.text == apart.text == "graphes épars"
    assert other.text == same.text == "soleil"
    assert merged.score == apart.score == 1
    assert other.score == pytest.approx(ONCE * sun / (one + several), abs=largest_rounding(one + several))
    assert same.score == pytest.approx(ONCE * sun / several, abs=largest_rounding(several))


def test_markup_is_left_out_and_offsets_point_into_the_text_as_given(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    given_text = (
        "<p>Sparse <b>graphs</b> give the e\ufb03cient &amp; fast al-\ngorithms of https://graphs.example/x</p>"
    )
    document = Document("1", given_text)
    model = tiny_model("bert")
    [explanation] = open_samrank(model).predict([document], explain=True)
    [plain] = open_samrank(model).predict([Document("2", "Sparse graphs give the efficient & fast algorithms of , ")])
    assert [phrase.text for phrase in explanation.keyphrases] == [phrase.text for phrase in plain]
    assert {phrase.text for phrase in plain} >= {"Sparse graphs"}
    covered = {given_text[start:end] for start, end in explanation.spans.tolist()}
    assert not any(piece in ("<", ">", "p", "b", "amp", "https", "example") for piece in covered)
    assert (np.diff(explanation.spans[:, 0]) >= 0).all()
    assert any("&amp;" in piece for piece in covered)


def test_offsets_are_those_of_every_occurrence_in_the_text_as_given(minilm: TinyModel, tagger: Tagger) -> None:
    given_text = (
        "<p>Support vector machines (SVM) classify graphs; a support-vector machine colours a <b>graph</b>.</p> "
        "An SVM is a colour model, and color mod-\nels help. We are graphing."
    )
    document = Document("1", given_text)
    [found] = open_samrank(minilm, heads=("4-10",)).predict([document], top=100)
    texts = {phrase.text.lower(): [given_text[start:end] for start, end in phrase.offsets] for phrase in found}
    assert texts["support-vector machine"] == ["Support vector machines", "SVM", "support-vector machine", "SVM"]
    assert texts["color models"] == ["colour model", "color mod-\nels"]
    assert texts["graphs"] == ["graphs", "graph", "graphing"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_phrase_has_offsets_in_order(kind: str, tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    for document in (LONG, FRENCH):
        [found] = open_samrank(tiny_model(kind)).predict([document], top=100)
        for phrase in found:
            spans = [offset for span in phrase.offsets for offset in span]
            assert spans == sorted(set(spans))
            assert phrase.text in [document.text[start:end] for start, end in phrase.offsets]


def test_candidates_of_the_paper_come_from_the_text_as_given(
    tiny_model: Callable[[str], TinyModel], tagger: Tagger
) -> None:
    document = Document("1", "<p>Sparse e\ufb03cient graphs</p>")
    keyphrases = open_samrank(tiny_model("bert"), **PAPER).predict([document])[0]
    assert any("e\ufb03cient" in phrase.text for phrase in keyphrases)


def test_no_phrase_has_a_score_of_zero(tiny_model: Callable[[str], TinyModel]) -> None:
    # Each single word of a long sequence occurs only inside of pairs of words, so its score is 0 (Sec. 3.5).
    document = Document("1", "rouge vert bleu gris", lang="fr")
    [found] = open_samrank(tiny_model("bert"), heads=("1-1",)).predict([document])
    assert [phrase.text for phrase in sorted(found, key=lambda phrase: document.text.index(phrase.text))] == [
        "rouge vert",
        "vert bleu",
        "bleu gris",
    ]
    assert all(phrase.score > 0 for phrase in found)


def test_the_first_token_of_causal_models_is_muted(tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> None:
    models = {kind: open_samrank(tiny_model(kind)).model for kind in KINDS}
    causal = {kind for kind, model in models.items() if isinstance(model, AttentionModel) and model.causal}
    assert causal == {"gpt2", "llama"}
