"""Eq. 1-6 on maps given as numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.samrank.config import SAMRankConfig
from kpray.samrank.scores import Redistribution, Weighting, attention_maps, global_scores, proportional_scores
from tests.samrank.naive import token_scores

# Three tokens; the last is the muted one.
MAP = [
    [0.5, 0.3, 0.2],
    [0.1, 0.6, 0.3],
    [0.4, 0.2, 0.4],
]
MODES: list[tuple[Redistribution, Weighting]] = list(product(("backward", "forward"), ("unit", "global")))


def scores_of(
    maps: np.ndarray, muted: int, redistribution: Redistribution, weighting: Weighting
) -> tuple[np.ndarray, np.ndarray]:
    """Global and proportional scores, float64 [tokens] each, of one map."""
    maps_BHNN = torch.tensor(maps, dtype=torch.float32)[None, None]
    real_BN = torch.ones(1, len(maps))
    muted_BN = torch.zeros(1, len(maps))
    muted_BN[0, muted] = 1
    received = global_scores(maps_BHNN, real_BN, muted_BN)
    passed_on = proportional_scores(maps_BHNN, received, real_BN, redistribution, weighting)
    return received[0, 0].double().numpy(), passed_on[0, 0].double().numpy()


def test_global_score_is_the_column_sum_and_0_for_the_muted_token() -> None:
    received, _ = scores_of(np.array(MAP), -1, "backward", "unit")
    assert received == pytest.approx([0.5 + 0.1 + 0.4, 0.3 + 0.6 + 0.2, 0])


def test_proportional_score_backward() -> None:
    _, passed_on = scores_of(np.array(MAP), -1, "backward", "unit")
    # Column i of B is G_i times column i of A. Division by the column's sum cancels G_i; the muted column stays 0.
    first, second = 0.5 + 0.1 + 0.4, 0.3 + 0.6 + 0.2
    assert passed_on == pytest.approx(
        [0.5 / first + 0.3 / second, 0.1 / first + 0.6 / second, 0.4 / first + 0.2 / second]
    )


def test_proportional_score_forward() -> None:
    first, second = 0.5 + 0.1 + 0.4, 0.3 + 0.6 + 0.2  # global scores; that of the muted token is 0
    weightings: tuple[Weighting, ...] = ("unit", "global")
    for weighting in weightings:
        _, passed_on = scores_of(np.array(MAP), -1, "forward", weighting)
        # Each token passes on its score along its row.
        assert passed_on == pytest.approx(
            [0.5 * first + 0.1 * second, 0.3 * first + 0.6 * second, 0.2 * first + 0.3 * second]
        )


def test_forward_redistribution_ranks_otherwise_than_the_global_score() -> None:
    """With the division of Eq. 4, it would be the global score minus the row of the muted token."""
    maps = np.random.default_rng(0).dirichlet(np.full(30, 0.2), size=30)
    received, passed_on = scores_of(maps, -1, "forward", "unit")
    assert passed_on.sum() == pytest.approx(received.sum())  # the score itself is passed on
    assert np.argsort(-passed_on)[:10].tolist() != np.argsort(-received)[:10].tolist()


def test_proportional_score_by_global_score() -> None:
    _, passed_on = scores_of(np.array(MAP), -1, "backward", "global")
    first, second = 0.5 + 0.1 + 0.4, 0.3 + 0.6 + 0.2
    unscaled = np.array([0.5 * first + 0.3 * second, 0.1 * first + 0.6 * second, 0.4 * first + 0.2 * second])
    assert passed_on == pytest.approx(unscaled * 3 / unscaled.sum())


@pytest.mark.parametrize(("redistribution", "weighting"), MODES)
def test_a_single_muted_token_scores_0(redistribution: Redistribution, weighting: Weighting) -> None:
    received, passed_on = scores_of(np.array([[1.0]]), 0, redistribution, weighting)
    assert received.tolist() == [0]
    assert passed_on.tolist() == [0]


@pytest.mark.parametrize(("redistribution", "weighting"), MODES)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), tokens=st.integers(1, 9), causal=st.booleans(), padding=st.integers(0, 3))
def test_scores_agree_with_the_equations(
    redistribution: Redistribution, weighting: Weighting, seed: int, tokens: int, causal: bool, padding: int
) -> None:
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((tokens + padding, tokens + padding))
    logits[:, tokens:] = -np.inf  # padding receives no attention, and its rows must not count
    if causal:
        logits[np.triu_indices(tokens, 1)] = -np.inf
    maps = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    muted = 0 if causal else tokens - 1

    maps_BHNN = torch.tensor(maps, dtype=torch.float32)[None, None]
    real_BN = torch.zeros(1, tokens + padding)
    real_BN[0, :tokens] = 1
    muted_BN = torch.zeros(1, tokens + padding)
    muted_BN[0, muted] = 1
    received = global_scores(maps_BHNN, real_BN, muted_BN)
    passed_on = proportional_scores(maps_BHNN, received, real_BN, redistribution, weighting)

    for found, score in ((received, "global"), (passed_on, "proportional")):
        config = SAMRankConfig.model_validate(
            {"score": score, "redistribution": redistribution, "weighting": weighting}
        )
        expected = token_scores(maps[:tokens, :tokens], muted, config)
        np.testing.assert_allclose(found[0, 0, :tokens], expected, rtol=1e-5, atol=1e-5)
        assert found[0, 0, tokens:].tolist() == [0] * padding


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), tokens=st.integers(2, 8))
def test_each_token_except_the_muted_one_distributes_a_total_of_1(seed: int, tokens: int) -> None:
    maps = np.random.default_rng(seed).dirichlet(np.ones(tokens), size=tokens)
    received, passed_on = scores_of(maps, -1, "backward", "unit")
    assert passed_on.sum() == pytest.approx(tokens - 1, rel=1e-5)
    assert scores_of(maps, -1, "forward", "unit")[1].sum() == pytest.approx(received.sum(), rel=1e-5)


def test_attention_maps_are_the_softmax_of_scaled_products() -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 2.0]])[None, None]
    key = torch.tensor([[1.0, 1.0], [3.0, 0.0]])[None, None]
    [[maps]] = attention_maps(query, key, 0.5, None, False).numpy()
    e = np.exp
    # 0.5 * query . key: first row (1, 3) / 2, second row (2, 0) / 2
    expected = [
        [e(0.5) / (e(0.5) + e(1.5)), e(1.5) / (e(0.5) + e(1.5))],
        [e(1.0) / (e(1.0) + e(0.0)), e(0.0) / (e(1.0) + e(0.0))],
    ]
    np.testing.assert_allclose(maps, expected, rtol=1e-6)


def test_causal_attention_maps_equal_those_with_a_causal_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 3, 4, 8, generator=generator)
    causal = attention_maps(query, key, 1.0, None, True)
    assert (causal.triu(1) == 0).all()
    torch.testing.assert_close(causal.sum(-1), torch.ones(1, 3, 4))
    mask = torch.ones(4, 4, dtype=torch.bool).tril()[None, None]
    torch.testing.assert_close(attention_maps(query, key, 1.0, mask, False), causal)


def test_attention_maps_are_float32_for_every_dtype() -> None:
    query = torch.ones(1, 1, 3, 4, dtype=torch.bfloat16)
    assert attention_maps(query, query, 0.5, None, False).dtype is torch.float32
