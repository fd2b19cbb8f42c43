"""The stacked relation layer of UniKeyphrase (Wu et al., 2021, Sec. 3.2): co-attention of extraction and generation.

The paper's symbols: P is the representation for extraction (present keyphrases), A the one for generation (absent
keyphrases).

Shape legend: B documents, T tokens of source and target (padded), S source tokens, K beams, n new tokens of a beam,
t tokens that a beam has emitted, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from kpray.unikeyphrase.backbone import Pair, attend_step


class RelationLayer(nn.Module):
    """One relation layer, Eq. 3-6.

    Args:
        hidden_size: H.
        scale: factor of the co-attention scores; 1 in the paper.
        dropout: dropout probability of the layer's outputs.
        eps: epsilon of layer normalization, as in the backbone.
    """

    def __init__(self, hidden_size: int, scale: float, dropout: float, eps: float) -> None:
        super().__init__()
        self.scale = scale
        self.extraction_linear = nn.Linear(hidden_size, hidden_size)  # W_P, b_P
        self.generation_linear = nn.Linear(hidden_size, hidden_size)  # W_A, b_A
        self.extraction_norm = nn.LayerNorm(hidden_size, eps)  # Eq. 3
        self.generation_norm = nn.LayerNorm(hidden_size, eps)  # Eq. 4
        self.extraction_output_norm = nn.LayerNorm(hidden_size, eps)  # Eq. 5
        self.generation_output_norm = nn.LayerNorm(hidden_size, eps)  # Eq. 6
        self.dropout = nn.Dropout(dropout)

    def forward(self, extraction: Tensor, generation: Tensor, mask: Tensor) -> Pair:
        """Eq. 3-6 over full sequences.

        Args:
            extraction: P^l [B, T, H].
            generation: A^l [B, T, H].
            mask: bool, broadcastable to [B, 1, T, T]: True where the query attends to the key.

        Returns:
            P^{l+1} and A^{l+1}, [B, T, H] each.
        """
        return self.relate(self.specialize(extraction, generation), mask)

    def specialize(self, extraction: Tensor, generation: Tensor) -> Pair:
        """Eq. 3-4: P' and A' from P and A, [..., H] each."""
        return (
            self.extraction_norm(extraction + relu(self.extraction_linear(extraction))),
            self.generation_norm(generation + relu(self.generation_linear(generation))),
        )

    def relate(self, specific: Pair, mask: Tensor) -> Pair:
        """Eq. 5-6 over full sequences.

        At scale 1 the scores of normalized rows can be as large as H, so co-attention is computed at least in float32.
        Both directions use the same scores, which a fused attention kernel would compute twice.

        Args:
            specific: P' and A', [B, T, H] each.
            mask: bool, broadcastable to [B, 1, T, T].

        Returns:
            P^{l+1} and A^{l+1}, [B, T, H] each.
        """
        with torch.autocast(specific[0].device.type, enabled=False):
            extraction, generation = one_head(specific)
            scores = extraction @ (self.scale * generation).mT
            unseen = ~mask
            on_generation = _weights(scores, unseen) @ generation
            on_extraction = _weights(scores.mT, unseen) @ extraction
        return self._add(specific, (on_generation.squeeze(1), on_extraction.squeeze(1)))

    def step(self, specific: Pair, source: Pair, emitted: Pair, source_mask_BS: Tensor) -> tuple[Pair, Pair]:
        """Eq. 5-6 over the new rows of each beam.

        Args:
            specific: P' and A' of the new rows, [B, K, n, H] each.
            source: P' and A' of the source, float32 [B, 1, S, H] each.
            emitted: P' and A' of the beams' emitted tokens, float32 [B, 1, K, t, H] each.
            source_mask_BS: bool [B, S], False for padding.

        Returns:
            P^{l+1} and A^{l+1} of the new rows, [B, K, n, H] each; and P' and A' of emitted and new rows,
            float32 [B, 1, K, t + n, H] each.
        """
        with torch.autocast(specific[0].device.type, enabled=False):
            extraction, generation = one_head(specific)
            target_P, target_A = torch.cat([emitted[0], extraction], dim=3), torch.cat([emitted[1], generation], dim=3)
            on_generation = attend_step(extraction, (source[1],) * 2, (target_A,) * 2, source_mask_BS, self.scale)
            on_extraction = attend_step(generation, (source[0],) * 2, (target_P,) * 2, source_mask_BS, self.scale)
        return self._add(specific, (on_generation.squeeze(1), on_extraction.squeeze(1))), (target_P, target_A)

    def _add(self, specific: Pair, attended: Pair) -> Pair:
        extraction = self.extraction_output_norm(specific[0] + attended[0].to(specific[0].dtype))
        generation = self.generation_output_norm(specific[1] + attended[1].to(specific[1].dtype))
        return self.dropout(extraction), self.dropout(generation)


def _weights(scores: Tensor, unseen: Tensor) -> Tensor:
    """Attention weights [B, 1, T (queries), T (keys)]; `unseen` is True where a query does not see a key."""
    return scores.masked_fill(unseen, -torch.inf).softmax(dim=-1)


def one_head(pair: Pair) -> Pair:
    """Inputs of co-attention: at least float32, with a dimension for its one head, [B, ..., H] to [B, 1, ..., H]."""
    dtype = torch.promote_types(pair[0].dtype, torch.float32)
    return pair[0].to(dtype).unsqueeze(1), pair[1].to(dtype).unsqueeze(1)
