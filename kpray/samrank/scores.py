"""Token scores from one self-attention map: SAMRank, Kang & Shin, EMNLP 2023, Eq. 1-6.

Shapes: B documents or segments, H heads, N tokens. Symbols of the paper:

    A    maps_BHNN        Eq. 1; row i is the attention from query token i to all tokens
    G    global_BHN       Eq. 2
    P    proportional_BHN Eq. 3-5
    S    G + P            Eq. 6

No function here computes a second N x N matrix. Eq. 3-5 multiply each column of A by its G, then divide the column by
its sum. So G cancels where it is not zero: P = A @ w with w = 1 / (column sum of A), and w = 0 where G is zero. Forward
redistribution is P = G @ A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Redistribution = Literal["backward", "forward"]
Weighting = Literal["unit", "global"]


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Token scores of one segment.

    Attributes:
        global_: float32 [heads, tokens], Eq. 2.
        proportional: float32 [modes, heads, tokens], Eq. 5 in each requested mode.
        hidden: float32 [tokens, hidden size], last hidden states of the loaded layers; None if not requested.
    """

    global_: np.ndarray
    proportional: np.ndarray
    hidden: np.ndarray | None = None


def attention_maps(query: Tensor, key: Tensor, scaling: float, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention maps, Eq. 1, in float32 for every model dtype.

    Args:
        query: [B, H, N, D].
        key: [B, H, N, D].
        scaling: factor of the dot products.
        mask: bool [B, 1, N, N], True where the query attends to the key; None: no mask.
        causal: only if `mask` is None: each query attends only to itself and earlier tokens.

    Returns:
        float32 [B, H, N, N]; each row sums to 1.
    """
    logits = (query * scaling).float() @ key.float().transpose(-1, -2)
    if mask is not None:
        # Not -inf: with a sliding window, all keys of a padding row may be masked, and its softmax would be NaN.
        logits.masked_fill_(~mask, torch.finfo(logits.dtype).min)
    elif causal:
        length = logits.shape[-1]
        future = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu_(1)
        logits.masked_fill_(future, float("-inf"))
    return logits.softmax(dim=-1)


def global_scores(maps_BHNN: Tensor, real_BN: Tensor, muted_BN: Tensor) -> Tensor:
    """Global scores, Eq. 2: the attention each token receives from all tokens, 0 for muted tokens.

    Args:
        maps_BHNN: attention maps.
        real_BN: 1.0 for a token of the document, 0.0 for padding, whose rows do not count.
        muted_BN: 1.0 for the token with high attention but no meaning (Sec. 3.3), else 0.0.

    Returns:
        float32 [B, H, N].
    """
    received_BHN = (real_BN[:, None, None, :] @ maps_BHNN).squeeze(-2)
    return received_BHN * (1 - muted_BN[:, None, :])


def proportional_scores(
    maps_BHNN: Tensor, global_BHN: Tensor, real_BN: Tensor, redistribution: Redistribution, weighting: Weighting
) -> Tensor:
    """Proportional scores, Eq. 3-5: each token redistributes its global score to related tokens.

    Args:
        maps_BHNN: attention maps.
        global_BHN: global scores, Eq. 2.
        real_BN: 1.0 for a token of the document, 0.0 for padding.
        redistribution: `backward` gives a token's score to the tokens that attend to it (Eq. 3-5); `forward` gives it
            to the tokens that it attends to (Sec. 4.4.2). `forward` always distributes the global score itself: rows of
            A sum to 1, so after the division of Eq. 4 the result would be the global score once more.
        weighting: only for `backward`. `unit` follows the paper: after Eq. 4 each token with a nonzero global score
            distributes a total of 1, regardless of its score. `global`, an addition of kpray, omits Eq. 4: each token
            distributes its global score, and the result is scaled to sum to the number of tokens.

    Returns:
        float32 [B, H, N].
    """
    if redistribution == "forward":
        return (global_BHN.unsqueeze(-2) @ maps_BHNN).squeeze(-2)
    distributed_BHN = global_BHN if weighting == "global" else torch.where(global_BHN > 0, 1 / global_BHN, 0)
    scores_BHN = (maps_BHNN @ distributed_BHN.unsqueeze(-1)).squeeze(-1) * real_BN[:, None, :]
    if weighting == "global":
        scores_BHN = scores_BHN * (real_BN.sum(-1)[:, None, None] / scores_BHN.sum(-1, keepdim=True).clamp_min(1e-30))
    return scores_BHN
