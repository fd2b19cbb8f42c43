"""Every document gets a result, possibly empty, or is rejected with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpray.document import Document, Keyphrase
from kpray.errors import RejectedDocument
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.predictor import SAMRank
from kpray.text.tagging import Tagger
from tests.samrank.tiny_models import TinyModel


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def predictor(request: pytest.FixtureRequest, tiny_model: Callable[[str], TinyModel], tagger: Tagger) -> SAMRank:
    return SAMRank(SAMRankConfig(model=tiny_model(request.param).folder, heads=("2-1", "1-3")))


def predict(predictor: SAMRank, text: str, lang: str = "en") -> list[Keyphrase]:
    keyphrases = predictor.predict(Document("1", text, lang=lang), top=5)
    assert len({keyphrase.text for keyphrase in keyphrases}) == len(keyphrases) <= 5
    for keyphrase in keyphrases:
        assert keyphrase.text == " ".join(keyphrase.text.split()) != ""
        assert math.isfinite(keyphrase.score)
        assert keyphrase.score >= 0
        assert keyphrase.present
    return keyphrases


@pytest.mark.parametrize("lang", ["en", "fr", "zh", "ko", "ar"])
@pytest.mark.parametrize(
    "text", ["", " ", "\n\r\n\t", "😀😃👩‍👩‍👧", "?!... — «»", "\0\0", "\u200b\ufeff", "\u0301" * 20]
)
def test_text_without_words(predictor: SAMRank, text: str, lang: str) -> None:
    assert predict(predictor, text, lang) == []


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_one_word(predictor: SAMRank, lang: str) -> None:
    assert [keyphrase.text for keyphrase in predict(predictor, "networks", lang)] == ["networks"]


def test_title_alone(predictor: SAMRank) -> None:
    [keyphrases] = predictor.predict([Document("1", "", title="Graph theory")])
    assert [keyphrase.text for keyphrase in keyphrases] == ["Graph theory"]


@pytest.mark.parametrize("text", ["a" * 50_000, "1" * 50_000, "ab-" * 17_000, "网" * 50_000])
def test_many_characters_without_a_space(predictor: SAMRank, text: str) -> None:
    assert predict(predictor, text) == []  # longer than any word


def test_many_marks_without_a_space(predictor: SAMRank) -> None:
    assert predict(predictor, "." * 50_000) == []


def test_twenty_thousand_words(predictor: SAMRank) -> None:
    keyphrases = predict(predictor, "Sparse graphs give fast algorithms . " * (20_000 // 6 + 1))
    assert "Sparse graphs" in [keyphrase.text for keyphrase in keyphrases]


@pytest.mark.parametrize(
    ("text", "lang", "phrase"),
    [
        ("自然语言处理是人工智能的重要方向。", "zh", "人工智能"),
        ("自然语言处理是人工智能的重要方向。", "zh_CN", "人工智能"),
        ("الشبكات العصبية من البيانات", "ar", "الشبكات العصبية"),
        ("점 확산 함수 , 영상 복원", "ko", "점 확산 함수"),
        ("Нейронные сети и графы", "ru", "Нейронные сети"),
        ("Graph\0theory, neural\0networks", "fr", "theory"),
        ("neural\r\nnetworks", "en", "neural networks"),
        ("des réseaux\r\n neuronaux", "fr", "réseaux neuronaux"),
        ("cafe\u0301s the\u0301oriques, x", "fr", "caf\u00e9s th\u00e9oriques"),  # combining accents
        ("तंत्रिका नेटवर्क, x", "hi", "तंत्रिका नेटवर्क"),  # vowel signs are combining marks
    ],
)
def test_scripts_and_line_ends(predictor: SAMRank, text: str, lang: str, phrase: str) -> None:
    assert phrase in [keyphrase.text for keyphrase in predict(predictor, text, lang)]


@pytest.mark.parametrize("lang", ["ja", "ja-JP"])
def test_japanese_has_phrases(predictor: SAMRank, lang: str) -> None:
    [found] = predictor.predict([Document("1", "氷河は夏に溶ける。", lang=lang)])
    assert found


@pytest.mark.parametrize("lang", ["lo", "lo-LA", "my", "xx", "zz_ZZ"])
def test_language_that_kpray_does_not_know(predictor: SAMRank, lang: str) -> None:
    with pytest.raises(RejectedDocument, match=f"'{lang[:2]}'"):
        predict(predictor, "ແສງຕາເວັນネットワーク", lang)


@pytest.mark.parametrize("text", ["\ud800", "sparse graphs \udfff", "graph\ud800s"])
def test_lone_surrogates_are_rejected(predictor: SAMRank, text: str) -> None:
    with pytest.raises(RejectedDocument, match="surrogate"):
        predict(predictor, text)


@settings(max_examples=60)
@given(
    text=st.text(max_size=60) | st.text("ab.\n '-’nt网é\u0301\0 ", max_size=60),
    lang=st.sampled_from(["en", "fr", "zh", "ko", "ar", "hi"]),
)
@example(text="[SEP] [CLS] <s> </s> [PAD] [UNK] [MASK]", lang="en")
def test_any_text(predictor: SAMRank, text: str, lang: str) -> None:
    predict(predictor, text, lang)
