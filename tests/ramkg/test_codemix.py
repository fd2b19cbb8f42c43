"""Code-mixed inputs: their format in every language, and how they are shortened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertConfig, BertModel

from kpray.errors import UserError
from kpray.ramkg.codemix import (
    NO_LANGUAGE,
    CodeMixer,
    Frame,
    Marks,
    load_mixer,
    mix_source,
    mix_target,
)
from kpray.ramkg.config import GeneratorConfig
from kpray.text.generated import split_target
from tests.ramkg.tiny_generator import load_tokenizer, make_config, save_plain_tokenizer

MARKS = Marks(enkps=101, ctx=102, sep=103, end=104)
FRAME = Frame(prefix=(105,), suffix=(104, 106), start=(107,))
AROUND = 3 + 2  # tokens of the frame, [ENKPS] and [CTX]

DOCUMENTS = {  # the languages of both datasets of the paper
    "de": ("de_DE", "tiefe Netze lernen", ["▁tiefe", "▁Netze", "▁lernen"]),
    "es": ("es_XX", "el aprendizaje profundo", ["▁el", "▁aprendizaje", "▁profundo"]),
    "fr": ("fr_XX", "les réseaux profonds", ["▁les", "▁réseaux", "▁profonds"]),
    "it": ("it_IT", "le reti neurali", ["▁le", "▁reti", "▁neurali"]),
    "zh": ("zh_CN", "神经 网络", ["▁神经", "▁网络"]),
    "ko": ("ko_KR", "신경망 학습", ["▁신경망", "▁학습"]),
}
ENGLISH = ["graph theory", "neural networks", "Graph theory!", "networks"]
HINTS = ["[ENKPS]", "▁graph", "▁theory", "[SEP]", "▁neural", "▁networks", "[SEP]", "▁networks", "[CTX]"]


def tokens(mixer: CodeMixer, ids: Any) -> list[str]:
    names: list[str] = mixer.tokenizer.convert_ids_to_tokens([int(id) for id in ids])
    return names


def source_tokens(mixer: CodeMixer, text: str, lang: str, english: list[str]) -> list[str]:
    [source] = mixer.sources([text], [mixer.language(lang)], [english])
    assert isinstance(source, np.ndarray)
    assert source.dtype == np.int32
    return tokens(mixer, source)


@pytest.mark.parametrize("lang", DOCUMENTS)
def test_inputs_of_mbart25(seq2seq: dict[str, str], lang: str) -> None:
    mixer = load_mixer(make_config(seq2seq["mbart25"]))
    code, text, words = DOCUMENTS[lang]
    assert source_tokens(mixer, text, lang, ENGLISH) == [*HINTS, *words, "</s>", code]
    assert source_tokens(mixer, text, lang, []) == ["[ENKPS]", "[CTX]", *words, "</s>", code]
    assert tokens(mixer, mixer.frame(mixer.language(lang)).start) == [code]
    [target] = mixer.targets([[text, text.split()[0], text.upper()]])
    assert tokens(mixer, target) == [*words, "[SEP]", words[0], "</s>"]  # case does not matter


@pytest.mark.parametrize("lang", DOCUMENTS)
def test_inputs_of_mbart50(seq2seq: dict[str, str], lang: str) -> None:
    mixer = load_mixer(make_config(seq2seq["mbart50"]))
    code, text, words = DOCUMENTS[lang]
    assert source_tokens(mixer, text, lang, ENGLISH) == [code, *HINTS, *words, "</s>"]
    assert tokens(mixer, mixer.frame(mixer.language(lang)).start) == ["</s>", code]
    [target] = mixer.targets([[text]])
    assert tokens(mixer, target) == [*words, "</s>"]


@pytest.mark.parametrize(("kind", "prefix", "start"), [("bart", ["<s>"], ["</s>", "<s>"]), ("t5", [], ["<pad>"])])
def test_inputs_of_models_without_languages(
    seq2seq: dict[str, str], kind: str, prefix: list[str], start: list[str]
) -> None:
    mixer = load_mixer(make_config(seq2seq[kind]))
    assert {mixer.language(lang) for lang in DOCUMENTS} == {NO_LANGUAGE}
    plain = source_tokens(load_mixer(make_config(seq2seq[kind], passages=0)), "les réseaux", "fr", ENGLISH)
    assert (plain[: len(prefix)], plain[-1]) == (prefix, "</s>")
    mixed = source_tokens(mixer, "les réseaux", "fr", ENGLISH)
    ctx = mixed.index("[CTX]")
    assert mixed[: len(prefix) + 1] == [*prefix, "[ENKPS]"]
    assert mixed[ctx + 1 :] == plain[len(prefix) :]
    assert mixed[:ctx].count("[SEP]") == 3 - 1
    assert tokens(mixer, mixer.frame(NO_LANGUAGE).start) == start


@pytest.mark.parametrize("kind", ["mbart25", "mbart50"])
def test_without_retrieval_the_source_is_the_passage(seq2seq: dict[str, str], kind: str) -> None:
    mixer = load_mixer(make_config(seq2seq[kind], passages=0))
    whole = mixer.tokenizer("les réseaux profonds").input_ids  # in the frame of English, the tokenizer's default
    french = [mixer.language("fr") if id == mixer.language("en") else id for id in whole]
    [source] = mixer.sources(["les réseaux profonds"], [mixer.language("fr")], [ENGLISH])
    assert isinstance(source, np.ndarray)
    assert source.tolist() == french


def test_invented_language(tmp_path: Path) -> None:
    save_plain_tokenizer(tmp_path, "t5", languages=["en", "xx"])
    mixer = CodeMixer(load_tokenizer(str(tmp_path)), make_config(str(tmp_path)))
    assert source_tokens(mixer, "les réseaux", "xx", [])[-2:] == ["</s>", "xx"]
    assert tokens(mixer, mixer.frame(mixer.language("xx")).start) == ["xx"]

    save_plain_tokenizer(tmp_path, "t5")  # its template has no language token
    tokenizer = load_tokenizer(str(tmp_path))
    tokenizer.add_tokens(["xx"], special_tokens=True)
    mixer = CodeMixer(tokenizer, make_config(str(tmp_path)), decoder_start=0)
    assert source_tokens(mixer, "les réseaux", "xx", [])[-2:] == ["</s>", "xx"]
    assert source_tokens(mixer, "les réseaux", "en", [])[-1] == "</s>"
    assert [tokens(mixer, mixer.frame(mixer.language(lang)).start) for lang in ("xx", "en")] == [["xx"], ["<pad>"]]


def test_special_tokens_in_a_text_are_plain_text(seq2seq: dict[str, str]) -> None:
    for kind in ("mbart25", "mbart50", "bart", "t5"):
        mixer = load_mixer(make_config(seq2seq[kind]))
        text = "les [SEP] zh_CN</s> <mask> <pad> [CTX] réseaux [ENKPS]"
        language = mixer.language("fr")
        [source] = mixer.sources([text], [language], [["a [SEP] b", "c</s>"]])
        [target] = mixer.targets([["a [SEP] b", "c</s>", "zh_CN"]])
        assert isinstance(source, np.ndarray)
        assert isinstance(target, np.ndarray)
        frame, marks = mixer.frame(language), mixer.marks
        inner = source.tolist()[len(frame.prefix) : len(source) - len(frame.suffix)]
        special = {id for id, token in mixer.tokenizer.added_tokens_decoder.items() if token.special}
        special -= {mixer.tokenizer.unk_token_id}
        assert [id for id in inner if id in special] == [marks.enkps, marks.sep, marks.ctx]
        assert {id for id in target.tolist() if id in special} == {marks.sep, marks.end}
        assert target.tolist().count(marks.end) == 1


def test_reasons(seq2seq: dict[str, str]) -> None:
    mixer = load_mixer(make_config(seq2seq["mbart25"]))
    sources = mixer.sources(["les", " ", "half \ud800", "les"], [mixer.language("fr")] * 4, [["graph"]] * 4)
    assert sources[1:3] == ["the text has no token", "the text is not valid Unicode (a lone surrogate)"]
    assert np.array_equal(sources[0], sources[3])
    targets = mixer.targets([["Netze"], [], ["...", " "], ["Netze", "\ud800"], ["Netze " * 30], ["Netze"]])
    assert targets[1:5] == [
        "no gold keyphrase",
        "no gold keyphrase",
        "a keyphrase is not valid Unicode (a lone surrogate)",
        "no gold keyphrase has between 1 and 19 tokens",
    ]
    assert np.array_equal(targets[0], targets[5])
    assert mixer.sources([], [], []) == mixer.targets([]) == []


def config(source_tokens: int = 20, keyphrase_tokens: int = 6) -> GeneratorConfig:
    return GeneratorConfig(source_tokens=source_tokens, keyphrase_tokens=keyphrase_tokens)


def test_keyphrases_use_the_space_that_the_passage_leaves() -> None:
    phrases = [[1, 2], [3], [4, 5, 6], [7]]
    joined = [1, 2, 103, 3, 103, 4, 5, 6, 103, 7]

    def around(hints: list[int], passage: list[int]) -> list[int]:
        return [105, 101, *hints, 102, *passage, 104, 106]

    room = 20 - AROUND
    short = [50] * (room - len(joined))
    assert mix_source(short, phrases, FRAME, MARKS, config()) == around(joined, short)
    longer = [50] * (len(short) + 1)
    assert mix_source(longer, phrases, FRAME, MARKS, config()) == around(joined[:8], longer)
    longest = [50] * 99  # must leave 6 ids, of which [1, 2] and [3] use 4
    assert mix_source(longest, phrases, FRAME, MARKS, config()) == around(joined[:4], [50] * (room - 4))
    assert mix_source(longest, [[1] * 7, [2]], FRAME, MARKS, config()) == around([], [50] * room)
    assert mix_source(longest, None, FRAME, MARKS, config()) == [105, *[50] * 17, 104, 106]


Ids = st.lists(st.integers(1, 99), min_size=1, max_size=7)


@given(st.lists(st.integers(1, 99), max_size=40), st.lists(Ids, max_size=8), st.integers(16, 40), st.integers(1, 8))
def test_source_is_cut_by_the_rules(
    passage: list[int], phrases: list[list[int]], source_tokens: int, keyphrase_tokens: int
) -> None:
    limits = config(source_tokens=source_tokens, keyphrase_tokens=keyphrase_tokens)
    ids = mix_source(passage, phrases, FRAME, MARKS, limits)
    assert len(ids) <= source_tokens
    assert (ids[:2], ids[-2:]) == ([105, 101], [104, 106])
    ctx = ids.index(102)
    hints, kept = ids[2:ctx], ids[ctx + 1 : -2]
    taken = split_at(hints, 103)
    assert taken == phrases[: len(taken)]  # complete and in order
    room = source_tokens - AROUND - len(hints)
    assert kept == passage[:room]  # the passage is not cut more than necessary
    most = max(keyphrase_tokens, source_tokens - AROUND - len(passage))
    assert len(hints) <= most
    if len(taken) < len(phrases):
        assert len(hints) + bool(taken) + len(phrases[len(taken)]) > most


def split_at(ids: list[int], mark: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for id in ids:
        if id == mark:
            parts.append([])
        else:
            parts[-1].append(id)
    return parts if ids else []


def split(ids: list[int], probabilities: list[float]) -> list[tuple[Sequence[int], float]]:
    return split_target(ids, probabilities, [MARKS.sep], MARKS.end)


@given(st.lists(Ids, max_size=8), st.integers(4, 30))
def test_target_has_complete_phrases(phrases: list[list[int]], limit: int) -> None:
    target = mix_target(phrases, MARKS, limit)
    assert len(target) <= limit
    assert target[-1] == 104
    taken = split_at(target[:-1], 103)
    left = iter(phrases)
    assert all(phrase in left for phrase in taken)  # in order
    if sum(map(len, phrases)) + len(phrases) <= limit:
        assert taken == phrases
    assert [phrase for phrase, _ in split(target, [1.0] * len(target))] == taken


def test_phrases_of_a_sequence_and_their_scores() -> None:
    ids = [1, 2, 103, 103, 3, 103, 4, 104]
    probabilities = [0.9, 0.6, 0.3, 0.1, 0.9, 0.7, 0.05, 0.05]
    first, blank = (0.9 + 0.6 + 0.3) / 3, 0.1
    assert split(ids, probabilities) == [
        ([1, 2], pytest.approx(first)),
        ([3], min(first, blank)),  # not 0.8: scores never increase
        ([4], pytest.approx(0.05)),
    ]
    assert split(ids[:-1], probabilities[:-1]) == split(ids, probabilities)[:-1]
    assert split([], []) == split([104], [0.5]) == []


def test_tokens_are_added_once(seq2seq: dict[str, str], tmp_path: Path) -> None:
    for kind, path in seq2seq.items():
        before = load_tokenizer(path)
        mixer = CodeMixer(load_tokenizer(path), make_config(path))
        assert len(mixer) == len(before) + 3
        assert len({mixer.marks.enkps, mixer.marks.ctx, mixer.marks.sep, *range(len(before))}) == len(mixer)
        mixer.tokenizer.save_pretrained(tmp_path / kind)
        again = CodeMixer(AutoTokenizer.from_pretrained(tmp_path / kind), make_config(path))
        assert (len(again), again.marks, again.forbidden) == (len(mixer), mixer.marks, mixer.forbidden)
        language = mixer.language("fr")
        for text in ("les réseaux", "[SEP] zh_CN"):
            [one], [other] = (each.sources([text], [language], [ENGLISH]) for each in (mixer, again))
            assert np.array_equal(one, other)


def test_unsuitable_models_are_refused(seq2seq: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^source_tokens: 65 tokens are too many: '.*' has 64 positions"):
        load_mixer(make_config(seq2seq["mbart25"], source_tokens=65))
    with pytest.raises(UserError, match=r"^target_tokens: 64 tokens are too many"):
        load_mixer(make_config(seq2seq["mbart50"], target_tokens=64))
    load_mixer(make_config(seq2seq["t5"], source_tokens=4096, target_tokens=4096))

    save_plain_tokenizer(tmp_path, "bart")
    sizes = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(sizes).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is not a sequence-to-sequence model"):
        load_mixer(make_config(str(tmp_path)))

    tokenizer = load_tokenizer(seq2seq["bart"])
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="is not for generation: it needs an end token"):
        CodeMixer(tokenizer, make_config("somewhere"))


def test_room_for_the_passage() -> None:
    GeneratorConfig(source_tokens=64, keyphrase_tokens=32)
    GeneratorConfig(source_tokens=64, passages=0)  # there are no keyphrases
    with pytest.raises(ValueError, match="keyphrase_tokens must be at most half of source_tokens"):
        GeneratorConfig(source_tokens=64, keyphrase_tokens=33)
