"""Caches for step-by-step decoding, so that a step computes only its new rows.

With the backbone's mask, a row depends only on the source and on earlier target tokens. So the source is computed once
and shared by all beams of a document, and each step adds one row per beam.

Shape legend: B documents, K beams, S source tokens (padded), t emitted tokens, A attention heads, D head size,
H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kpray.unikeyphrase.backbone import Pair
from kpray.unikeyphrase.copying import CopySource


@dataclass(frozen=True, slots=True)
class SourceCache:
    """Cached rows of the sources of B documents.

    Attributes:
        lengths_B: int64 [B], source tokens of each document.
        layers: keys and values of each backbone layer, [B, A, S, D] each.
        relations: P' and A' of each relation layer, float32 [B, 1, S, H] each.
        copied: what can be copied; None without `copying`.
    """

    lengths_B: Tensor
    layers: list[Pair]
    relations: list[Pair]
    copied: CopySource | None = None

    @property
    def tokens(self) -> int:
        """S."""
        return self.layers[0][0].shape[2]

    def select(self, documents: Tensor) -> SourceCache:
        """Keep the documents at these indices, int64 [new B]."""
        return SourceCache(
            self.lengths_B.index_select(0, documents),
            _select(self.layers, documents),
            _select(self.relations, documents),
            self.copied.select(documents) if self.copied else None,
        )


@dataclass(frozen=True, slots=True)
class EmittedCache:
    """Cached rows of the t tokens that each of K beams of B documents has emitted.

    Attributes:
        tokens: t.
        layers: keys and values of each backbone layer, [B, A, K, t, D] each.
        relations: P' and A' of each relation layer, float32 [B, 1, K, t, H] each.
    """

    tokens: int
    layers: list[Pair]
    relations: list[Pair]

    @property
    def beams(self) -> int:
        """K."""
        return self.layers[0][0].shape[2]

    def reorder(self, beams: Tensor) -> EmittedCache:
        """Replace beam k of document b by the former beam `beams[b, k]`.

        Args:
            beams: int64 [B, new K]; K may change, for example from 1 to K after the first step.
        """
        return EmittedCache(self.tokens, _reorder(self.layers, beams), _reorder(self.relations, beams))

    def select(self, documents: Tensor) -> EmittedCache:
        """Keep the documents at these indices, int64 [new B]."""
        return EmittedCache(self.tokens, _select(self.layers, documents), _select(self.relations, documents))


def _select(pairs: list[Pair], documents: Tensor) -> list[Pair]:
    return [(first.index_select(0, documents), second.index_select(0, documents)) for first, second in pairs]


def _reorder(pairs: list[Pair], beams_BK: Tensor) -> list[Pair]:
    return [(_of_beams(first, beams_BK), _of_beams(second, beams_BK)) for first, second in pairs]


def _of_beams(rows: Tensor, beams_BK: Tensor) -> Tensor:
    """[B, A, K, t, D] to [B, A, new K, t, D]. Whole rows of t x D are copied, not single numbers as by `gather`."""
    documents, heads, beams = rows.shape[:3]
    first_BA1 = torch.arange(documents * heads, device=rows.device).reshape(documents, heads, 1) * beams
    index_BAK = first_BA1 + beams_BK[:, None]
    chosen = rows.flatten(0, 2).index_select(0, index_BAK.flatten())
    return chosen.reshape(*index_BAK.shape, *rows.shape[3:])
