"""SAMRank's model in a process of its own, for predictors in other processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from kpray.samrank.models import HeadModel
from kpray.samrank.scores import HeadScores, Redistribution, Weighting


class ModelServer:
    """Answers the calls of `RemoteModel`s. Arrays of many documents travel as one, which takes less time."""

    def __init__(self, model: HeadModel) -> None:
        self._model = model

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method by name."""
        methods: dict[str, Callable[..., Any]] = {"describe": self._describe, "head_scores": self._head_scores}
        return methods[method](*arguments, **options)

    def _describe(self) -> tuple[int, int, torch.device, torch.dtype]:
        return self._model.layers, self._model.longest, self._model.device, self._model.dtype

    def _head_scores(self, ids: np.ndarray, lengths: Sequence[int], *arguments: Any, **options: Any) -> list[Any]:
        sequences = np.split(ids, np.cumsum(lengths)[:-1])
        found = self._model.head_scores(sequences, *arguments, **options)
        states = [each.hidden for each in found if each.hidden is not None]
        return [
            np.concatenate([each.global_ for each in found], axis=-1),
            np.concatenate([each.proportional for each in found], axis=-1),
            np.concatenate(states) if states else None,
        ]


class RemoteModel:
    """A `HeadModel` in another process.

    Args:
        call: calls the `ModelServer` there.
    """

    layers: int
    longest: int
    device: torch.device
    dtype: torch.dtype

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.layers, self.longest, self.device, self.dtype = call("describe")

    def head_scores(
        self,
        sequences: Sequence[np.ndarray],
        heads: Sequence[tuple[int, int]],
        *,
        batch_tokens: int | None,
        modes: Sequence[tuple[Redistribution, Weighting]],
        hidden: bool = False,
    ) -> list[HeadScores]:
        """See `HeadModel`."""
        if not sequences:
            return []
        lengths = [len(sequence) for sequence in sequences]
        options = {"batch_tokens": batch_tokens, "modes": modes, "hidden": hidden}
        global_, proportional, states = self._call("head_scores", np.concatenate(sequences), lengths, heads, **options)
        ends = np.cumsum(lengths).tolist()
        tokens = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        return [
            HeadScores(global_[..., each], proportional[..., each], None if states is None else states[each])
            for each in tokens
        ]
