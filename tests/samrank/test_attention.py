"""Token scores of a model's heads equal those of its eager attention maps, regardless of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel

from kpray.batches import batches_by_length
from kpray.samrank.attention import ATTENTION_NAME, head_scores
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.scores import HeadScores
from tests.samrank.naive import attention_maps, token_scores
from tests.samrank.tiny_models import HEADS, LAYERS, MOST_TOKENS, SAVE, TinyModel, save_mistral

KINDS = tuple(SAVE)
ALL_HEADS = tuple(product(range(LAYERS), range(HEADS)))
SOME_HEADS = ((2, 3), (0, 1), (2, 0), (1, 2))  # neither sorted nor complete
VOCABULARY = 100  # ids that every small tokenizer has

Sequences = Sequence[np.ndarray]


@cache
def load(folder: str, **options: Any) -> Any:
    return AutoModel.from_pretrained(folder, attn_implementation=ATTENTION_NAME, **options).eval()


def score(
    model: TinyModel,
    sequences: Sequences,
    heads: Sequence[tuple[int, int]] = SOME_HEADS,
    batch_tokens: int = 10_000,
    config: SAMRankConfig | None = None,
) -> list[HeadScores]:
    config = config or SAMRankConfig()
    return head_scores(
        load(model.folder),
        sequences,
        heads,
        muted=model.muted,
        batch_tokens=batch_tokens,
        modes=[(config.redistribution, config.weighting)],
    )


def random_ids(seed: int, *lengths: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(5, VOCABULARY, length) for length in lengths]


def assert_equal(found: Sequence[HeadScores], expected: Sequence[HeadScores]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.global_, other.global_, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one.proportional, other.proportional, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighting", ["unit", "global"])
@pytest.mark.parametrize("redistribution", ["backward", "forward"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_every_head_match_its_eager_attention_map(
    kind: str, redistribution: str, weighting: str, tiny_model: Callable[[str], TinyModel]
) -> None:
    model = tiny_model(kind)
    sequences = random_ids(1, 23, 1, 7)
    options = {"redistribution": redistribution, "weighting": weighting}
    found = score(model, sequences, ALL_HEADS, config=SAMRankConfig.model_validate(options))
    for sequence, scores in zip(sequences, found, strict=True):
        maps = attention_maps(model.folder, tuple(sequence.tolist()))
        for row, (layer, head) in enumerate(ALL_HEADS):
            for part, values in (("global", scores.global_), ("proportional", scores.proportional[0])):
                config = SAMRankConfig.model_validate({"score": part, **options})
                expected = token_scores(maps[layer, head], model.muted, config)
                np.testing.assert_allclose(values[row], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_the_maximum_length_is_scored(kind: str, tiny_model: Callable[[str], TinyModel]) -> None:
    model = tiny_model(kind)
    sequences = random_ids(2, model.most_tokens, 3)
    long, short = score(model, sequences)  # in one batch
    assert long.global_.shape == (len(SOME_HEADS), model.most_tokens)
    assert long.proportional.shape == (1, len(SOME_HEADS), model.most_tokens)
    maps = attention_maps(model.folder, tuple(sequences[0].tolist()))
    expected = [token_scores(maps[head], model.muted, SAMRankConfig(score="global")) for head in SOME_HEADS]
    np.testing.assert_allclose(long.global_, expected, rtol=1e-5, atol=1e-5)
    assert short.global_.shape == (len(SOME_HEADS), 3)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, MOST_TOKENS - 1), min_size=1, max_size=6),
    batch_tokens=st.integers(1, 400),
    seed=st.integers(0, 1000),
)
def test_scores_do_not_depend_on_batch_or_order(
    kind: str, tiny_model: Callable[[str], TinyModel], lengths: list[int], batch_tokens: int, seed: int
) -> None:
    model = tiny_model(kind)
    sequences = random_ids(seed, *lengths)
    alone = [score(model, [sequence])[0] for sequence in sequences]
    assert_equal(score(model, sequences, batch_tokens=batch_tokens), alone)
    assert_equal(score(model, sequences[::-1], batch_tokens=batch_tokens), alone[::-1])


@pytest.mark.parametrize("heads", [SOME_HEADS, ALL_HEADS], ids=["some", "all"])
def test_padding_is_not_seen_through_a_sliding_window(heads: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    # All keys in the window of a padding position far beyond the end of a sequence are padding, too.
    model = save_mistral(tmp_path)
    sequences = random_ids(3, 4, 40)
    alone = [score(model, [sequence], heads)[0] for sequence in sequences]
    assert_equal(score(model, sequences, heads), alone)


def test_heads_have_the_requested_order_and_may_repeat(tiny_model: Callable[[str], TinyModel]) -> None:
    model = tiny_model("bert")
    sequences = random_ids(4, 9)
    [every] = score(model, sequences, ALL_HEADS)
    asked = [(2, 1), (0, 3), (2, 1), (1, 0)]
    [found] = score(model, sequences, asked)
    rows = [ALL_HEADS.index(head) for head in asked]
    assert_equal([found], [HeadScores(every.global_[rows], every.proportional[:, rows])])


def test_all_modes_come_from_one_pass(tiny_model: Callable[[str], TinyModel]) -> None:
    model = tiny_model("gpt2")
    sequences = random_ids(8, 11, 5)
    modes: list[Any] = [("forward", "global"), ("backward", "unit"), ("backward", "global")]
    arguments: dict[str, Any] = {"muted": 0, "batch_tokens": 100}
    together = head_scores(load(model.folder), sequences, SOME_HEADS, modes=modes, **arguments)
    for index, mode in enumerate(modes):
        alone = head_scores(load(model.folder), sequences, SOME_HEADS, modes=[mode], **arguments)
        assert_equal([HeadScores(found.global_, found.proportional[index : index + 1]) for found in together], alone)


def test_a_model_with_fewer_layers_gives_the_same_scores(tiny_model: Callable[[str], TinyModel]) -> None:
    model = tiny_model("llama")
    sequences = random_ids(5, 12)
    arguments: dict[str, Any] = {"muted": 0, "batch_tokens": 100, "modes": [("backward", "unit")]}
    short = load(model.folder, num_hidden_layers=2)
    assert len(short.layers) == 2
    found = head_scores(short, sequences, [(1, 3), (0, 0)], **arguments)
    assert_equal(found, head_scores(load(model.folder), sequences, [(1, 3), (0, 0)], **arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_model_output_without_a_collector_equals_that_of_eager_attention(
    kind: str, tiny_model: Callable[[str], TinyModel]
) -> None:
    folder = tiny_model(kind).folder
    ids = torch.tensor(np.stack(random_ids(6, 20, 20)))
    with torch.inference_mode():
        ours = load(folder)(input_ids=ids).last_hidden_state
        eager = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-4)


def test_scores_are_float32_in_a_model_of_half_precision(tiny_model: Callable[[str], TinyModel]) -> None:
    model = tiny_model("bert")
    arguments: dict[str, Any] = {"muted": -1, "batch_tokens": 100, "modes": [("backward", "unit")]}
    [scores] = head_scores(load(model.folder, dtype=torch.bfloat16), random_ids(7, 30), [(1, 1)], **arguments)
    assert scores.global_.dtype == scores.proportional.dtype == np.float32
    # Each of the 30 rows of a map sums to 1, but the last column is muted: less than 30 is left.
    assert 0 < scores.global_.sum() < 30
    assert scores.proportional.sum() == pytest.approx(29, rel=1e-4)


def test_no_sequences() -> None:
    assert batches_by_length([], 10) == []


@given(lengths=st.lists(st.integers(1, 50), max_size=30), batch_tokens=st.integers(1, 200))
def test_batches_hold_every_sequence_once_within_the_limit(lengths: list[int], batch_tokens: int) -> None:
    batches = batches_by_length(lengths, batch_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[index] for index in batch)
        assert len(batch) == 1 or padded <= batch_tokens


def test_batches_hold_sequences_of_similar_length() -> None:
    assert batches_by_length([3, 50, 2, 49, 50], 100) == [[2, 0], [3, 1], [4]]
