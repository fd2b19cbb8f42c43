"""What the beam searches of UniKeyphrase and of RAMKG have in common.

Shape legend: B documents, K beams, V vocabulary, n emitted tokens.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Steps(Protocol):
    """A model for beam search. It gives the log-probabilities of the next token for all beams of all documents."""

    def start(self) -> Tensor:
        """Log-probabilities of the first token: float32 [B, 1, V]."""

    def advance(self, documents: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        """Append a token to each beam, and compute the log-probabilities of the next one.

        Args:
            documents: int64 [new B], ascending indices of the documents to continue; the others are dropped.
            parents: int64 [new B, K], the former beam that each new beam continues.
            tokens: int64 [new B, K], the token that each new beam appends.

        Returns:
            Float32 [new B, K, V].
        """


def of_parents(of_beams: Tensor, parents: Tensor) -> Tensor:
    """Rows of each new beam's parent: [B, K, n] and int64 [B, new K] to [B, new K, n]."""
    return of_beams.gather(1, parents[:, :, None].expand(-1, -1, of_beams.shape[2]))
