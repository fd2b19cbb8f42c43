"""Token scores from one self-attention map: SAMRank, Kang & Shin, EMNLP 2023, Eq. 1-6.

Shapes: B documents or segments, H heads, N tokens. Symbols of the paper:

    A    maps_BHNN        row i is how token i as a query attends to the others, Eq. 1
    G    global_BHN       Eq. 2
    P    proportional_BHN Eq. 3-5
    S    G + P            Eq. 6

Nothing here makes a second N x N matrix. In Eq. 3-5 every column of A is multiplied by its G and then divided by its
sum, so G cancels wherever it is not zero: P = A @ w with w = 1 / (column sum of A) there, and 0 where G is zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Redistribution = Literal["backward", "forward"]
Weighting = Literal["unit", "global"]


def attention_maps(query: Tensor, key: Tensor, scaling: float, mask: Tensor | None, causal: bool) -> Tensor:
    """Eq. 1, in float32 whatever the dtype of the model.

    Args:
        query: [B, H, N, D].
        key: [B, H, N, D].
        scaling: what the model multiplies the dot products by.
        mask: bool [B, 1, N, N], True where a query may look, or None when it may look everywhere.
        causal: with `mask` None, whether a query sees only itself and the tokens before it.

    Returns:
        float32 [B, H, N, N]; each row sums to 1.
    """
    logits = (query * scaling).float() @ key.float().transpose(-1, -2)
    if mask is not None:
        # Not -inf: a row of padding that a sliding window leaves nothing to look at would become NaN.
        logits.masked_fill_(~mask, torch.finfo(logits.dtype).min)
    elif causal:
        length = logits.shape[-1]
        future = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu_(1)
        logits.masked_fill_(future, float("-inf"))
    return logits.softmax(dim=-1)


def global_scores(maps_BHNN: Tensor, real_BN: Tensor, muted_BN: Tensor) -> Tensor:
    """Eq. 2: the attention each token receives from all tokens, 0 for the muted one.

    Args:
        maps_BHNN: attention maps.
        real_BN: 1.0 for a token of the document, 0.0 for padding, whose rows do not count.
        muted_BN: 1.0 for the token that draws attention without meaning (Sec. 3.3), else 0.0.

    Returns:
        float32 [B, H, N].
    """
    received_BHN = (real_BN[:, None, None, :] @ maps_BHNN).squeeze(-2)
    return received_BHN * (1 - muted_BN[:, None, :])


def proportional_scores(
    maps_BHNN: Tensor, global_BHN: Tensor, real_BN: Tensor, redistribution: Redistribution, weighting: Weighting
) -> Tensor:
    """Eq. 3-5: each token passes its global score on to the tokens tied to it.

    Args:
        maps_BHNN: attention maps.
        global_BHN: Eq. 2.
        real_BN: 1.0 for a token of the document, 0.0 for padding.
        redistribution: `backward` gives to the tokens that attend to the important one (Eq. 3-5); `forward` gives
            to the tokens that the important one attends to (Sec. 4.4.2: the same equations on the transposed map).
        weighting: `unit` is the paper: after Eq. 4 each important token hands out a mass of 1, however
            important it is. `global` (ours) leaves Eq. 4 out, so that it hands out its global score; the
            result is scaled to the same total, the number of tokens.

    Returns:
        float32 [B, H, N].
    """
    if weighting == "global":
        handed_out_BHN = global_BHN
    elif redistribution == "backward":
        handed_out_BHN = torch.where(global_BHN > 0, 1 / global_BHN, 0)
    else:
        handed_out_BHN = (global_BHN > 0).to(maps_BHNN.dtype)  # the rows of A sum to 1 already
    if redistribution == "backward":
        scores_BHN = (maps_BHNN @ handed_out_BHN.unsqueeze(-1)).squeeze(-1)
    else:
        scores_BHN = (handed_out_BHN.unsqueeze(-2) @ maps_BHNN).squeeze(-2)
    scores_BHN = scores_BHN * real_BN[:, None, :]
    if weighting == "global":
        scores_BHN = scores_BHN * (real_BN.sum(-1)[:, None, None] / scores_BHN.sum(-1, keepdim=True).clamp_min(1e-30))
    return scores_BHN
