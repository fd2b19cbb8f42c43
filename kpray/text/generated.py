"""Phrases of a generated sequence of tokens: `k [SEP] ... [SEP] k </s>`, whatever the delimiter of a model is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_target(
    ids: Sequence[int], probabilities: Sequence[float] | np.ndarray, delimiter: Sequence[int], end: int
) -> list[tuple[Sequence[int], float]]:
    """The phrases of a generated sequence, in its order, with scores.

    What neither a delimiter nor the end closes, since the sequence was too long, is no phrase.

    Args:
        ids: of n tokens, without those that the decoder starts with, as far as the end.
        probabilities: of each token given those before it, n.
        delimiter: ids of what stands between phrases, at least one.
        end: id of the end of a sequence.

    Returns:
        The ids of each phrase, and the mean probability of its tokens and of what closes it, or the score of the
        phrase before it where that is lower.
    """
    phrases: list[tuple[Sequence[int], float]] = []
    chances, delimiter = np.asarray(probabilities, dtype=np.float64), list(delimiter)
    start, score = 0, 1.0
    for place, token in enumerate(ids):
        stop = place if token == end else place + 1 - len(delimiter)
        if token == end or (stop >= start and list(ids[stop : place + 1]) == delimiter):
            # The sequence is the model's ranking: it learnt the order of the authors, and the search judged the whole.
            # A later phrase is the surer for those that it has seen, which does not make it a better one.
            score = min(score, float(chances[start : place + 1].mean()))
            if stop > start:
                phrases.append((ids[start:stop], score))
            start = place + 1
    return phrases
