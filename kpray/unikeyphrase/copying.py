"""Copying of source tokens into generated phrases, an option that the paper does not have (`model.copying`).

See et al., "Get To The Point: Summarization with Pointer-Generator Networks", ACL 2017, Eq. 8-9.

Shape legend: B documents, S source tokens (padded), H hidden size, V vocabulary; "..." are target rows of a document.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class CopySource(NamedTuple):
    """What can be copied from the sources of B documents.

    Attributes:
        keys: [B, S, H].
        ids: int64 [B, S].
        allowed: bool [B, S], False for [CLS], [SEP] and padding.
    """

    keys: Tensor
    ids: Tensor
    allowed: Tensor

    def select(self, documents: Tensor) -> CopySource:
        """Keep the documents at these indices, int64 [new B]."""
        return CopySource(*(part.index_select(0, documents) for part in self))


class CopyHead(nn.Module):
    """P(w) = g P_vocabulary(w) + (1 - g) sum of a_i over the source tokens i that are w (Eq. 9).

    The gate g and the attention a over the source tokens depend on the target row. See et al. use additive attention;
    here it is the scaled dot product.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)  # a softmax ignores its bias
        self.gate = nn.Linear(hidden_size, 1)  # Eq. 8

    def source(self, hidden: Tensor, ids: Tensor, lengths: Tensor) -> CopySource:
        """Prepare the sources of a batch.

        Args:
            hidden: [B, S, H], generation representation of the source rows.
            ids: int64 [B, S].
            lengths: int64 [B], number of tokens of [CLS] X [SEP].
        """
        positions = torch.arange(ids.shape[1], device=ids.device)
        return CopySource(self.key(hidden), ids, (positions > 0) & (positions < lengths[:, None] - 1))

    def forward(self, logits: Tensor, hidden: Tensor, source: CopySource, documents: Tensor) -> Tensor:
        """Mix the distribution over the vocabulary with the one over the source.

        Args:
            logits: [N, V], Eq. 8 of UniKeyphrase before the softmax, of N target rows.
            hidden: [N, H], generation representation of these rows.
            source: of B documents.
            documents: int64 [N], the document of each row, ascending.

        Returns:
            Logarithm of P, float32 at least, [N, V]. Its softmax is P.
        """
        exact = torch.promote_types(logits.dtype, torch.float32)
        counts = torch.bincount(documents, minlength=len(source.ids))
        within = torch.arange(len(documents), device=documents.device) - (counts.cumsum(0) - counts)[documents]
        queries = hidden.new_zeros(len(counts), max(1, int(counts.max())), hidden.shape[1])  # of each document
        queries = queries.index_put((documents, within), self.query(hidden).to(hidden.dtype))
        scores = (queries @ source.keys.to(hidden.dtype).mT)[documents, within].to(exact) * hidden.shape[1] ** -0.5
        allowed = source.allowed[documents]
        weights = scores.masked_fill(~allowed, torch.finfo(exact).min).softmax(dim=1).masked_fill(~allowed, 0)
        copied = torch.zeros_like(logits, dtype=exact).scatter_add(1, source.ids[documents], weights)
        gate = self.gate(hidden).to(exact)
        generate = logsigmoid(gate).masked_fill(~allowed.any(1, keepdim=True), 0)  # there may be nothing to copy
        tiny = torch.finfo(exact).tiny
        return torch.logaddexp(
            generate + logits.log_softmax(dim=1, dtype=exact),
            logsigmoid(-gate) + copied.clamp(min=tiny).log(),
        )
