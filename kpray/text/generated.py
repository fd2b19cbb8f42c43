"""Phrases of a generated token sequence, for any delimiter: `k [SEP] ... [SEP] k </s>`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_target(
    ids: Sequence[int], probabilities: Sequence[float] | np.ndarray, delimiter: Sequence[int], end: int
) -> list[tuple[Sequence[int], float]]:
    """Split a generated sequence into phrases with scores, in the order of the sequence.

    Tokens after the last delimiter are dropped if the sequence was cut before its end token.

    Args:
        ids: ids of n tokens, without the decoder's start tokens, up to the end token.
        probabilities: [n], probability of each token given the tokens before it.
        delimiter: ids of the tokens between phrases, at least one.
        end: id of the end token.

    Returns:
        (token ids, score) of each phrase. The score is the mean probability of the phrase's tokens and of the
        delimiter or end token after it, but at most the score of the previous phrase.
    """
    phrases: list[tuple[Sequence[int], float]] = []
    chances, delimiter = np.asarray(probabilities, dtype=np.float64), list(delimiter)
    start, score = 0, 1.0
    for index, token in enumerate(ids):
        stop = index if token == end else index + 1 - len(delimiter)
        if token == end or (stop >= start and list(ids[stop : index + 1]) == delimiter):
            # The order of the sequence is the model's ranking: training uses the authors' order. Later phrases get
            # higher probabilities only because they are conditioned on earlier ones, so scores must not increase.
            score = min(score, float(chances[start : index + 1].mean()))
            if stop > start:
                phrases.append((ids[start:stop], score))
            start = index + 1
    return phrases
