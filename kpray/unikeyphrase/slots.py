"""Absent keyphrases as a set instead of a sequence, an option that the paper does not have (`model.target` set).

Ye et al., "One2Set: Generating Diverse Keyphrases as a Set", ACL 2021. Each slot has a learnt code, which is added to
the embeddings of its rows, and generates one phrase, or nothing ([SEP] alone). Slots do not see each other. In training
each phrase goes to the slot that already gives its first tokens the highest probabilities, so the order of the phrases
has no effect.

Shape legend: B documents, T tokens of source and target (padded), N slots and as many phrases, empty ones included,
M tokens to compare, V vocabulary, t tokens of a slot, R target rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kpray.unikeyphrase.cache import SourceCache
from kpray.unikeyphrase.model import UniKeyphraseModel

_COMPARED = 2  # M, the K of Ye et al.: tokens of a phrase that decide about its slot
_DIGITS = 5  # scores are rounded for the order, which then does not depend on the batch


def slot_columns(
    rows: Sequence[Mapping[str, np.ndarray]], batch: Mapping[str, Tensor], slots: int, end_id: int
) -> dict[str, Tensor]:
    """What the assignment and the losses need besides the columns of `collate`.

    Args:
        rows: rows whose targets are from `Encoder.encode_set`.
        batch: these rows, from `collate`.
        slots: N.
        end_id: id of [SEP].

    Returns:
        `phrases` int64 [B, T], index of each target row's phrase in its document, -1 for other rows; `phrase_starts`
        int64 [B, N, M], the first tokens of each phrase, -1 after its end and for empty phrases; `target_null` bool
        [R], the rows of empty phrases among `batch["target_rows"]`.
    """
    ids = np.concatenate([row["target"] for row in rows]).astype(np.int64)
    ends = ids == end_id
    phrase = np.cumsum(ends) - ends  # each document has N phrases
    offset = np.arange(len(ids)) - np.flatnonzero(np.diff(phrase, prepend=-1))[phrase]
    empty = ends & (offset == 0)
    compared = (offset < _COMPARED) & ~empty
    starts = np.full((len(rows) * slots, _COMPARED), -1)
    starts[phrase[compared], offset[compared]] = ids[compared]

    positions = torch.arange(batch["input_ids"].shape[1])
    is_target = (positions >= batch["source_lengths"][:, None]) & (positions < batch["lengths"][:, None])
    phrases = torch.full_like(batch["input_ids"], -1)
    phrases[is_target] = torch.from_numpy(phrase % slots)
    nulls = torch.zeros_like(is_target)
    nulls[is_target] = torch.from_numpy(empty)
    return {
        "phrases": phrases,
        "phrase_starts": torch.from_numpy(starts.reshape(len(rows), slots, _COMPARED)),
        "target_null": nulls.flatten()[batch["target_rows"]],
    }


@torch.no_grad()
def assign_slots(model: UniKeyphraseModel, batch: Mapping[str, Tensor], mask_id: int) -> Tensor:
    """Assign the phrases of each document to its slots, one each, by the Hungarian algorithm.

    The slots generate M tokens greedily, without dropout. The assignment maximizes the sum of the probabilities that
    they give to the first M tokens of their phrases. An empty phrase adds 0.

    Args:
        model: the model in training.
        batch: with the columns of `slot_columns`.
        mask_id: id of [MASK].

    Returns:
        Int64 [B, T], slot of each target row, -1 for other rows.
    """
    was_training = model.training
    model.train(False)
    source_tokens = int(batch["source_lengths"].max())
    _, source = model.encode_source(batch["input_ids"][:, :source_tokens], batch["source_lengths"])
    gains_BNN = torch.zeros((), device=model.device)  # of slot i for phrase j
    steps = islice(greedy_steps(model, source, mask_id), _COMPARED)
    for scores_BNV, ids_BN in zip(steps, batch["phrase_starts"].unbind(2), strict=True):
        index_BNN = ids_BN.clamp(min=0)[:, None].expand(-1, scores_BNV.shape[1], -1)
        gains_BNN = gains_BNN + scores_BNV.gather(2, index_BNN).exp().masked_fill((ids_BN < 0)[:, None], 0)
    model.train(was_training)
    torch.clear_autocast_cache()  # older versions of PyTorch would train with these casts, which have no gradients

    gains = gains_BNN.nan_to_num().mT.cpu().numpy()  # after an overflow, the losses report it
    slots_BN = torch.from_numpy(np.stack([linear_sum_assignment(gain, maximize=True)[1] for gain in gains]))
    phrases_BT = batch["phrases"]
    slots_BT = slots_BN.to(phrases_BT.device).gather(1, phrases_BT.clamp(min=0))
    return slots_BT.masked_fill(phrases_BT < 0, -1)


def greedy_steps(model: UniKeyphraseModel, source: SourceCache, mask_id: int) -> Iterator[Tensor]:
    """Log-probabilities of each slot's next token after its best tokens so far: float32 [B, N, V] for each step."""
    emitted, tokens_BN = model.start(source), None
    while True:
        scores_BNV, emitted = model.decode_step(source, emitted, tokens_BN, mask_id)
        yield scores_BNV
        tokens_BN = scores_BNV.argmax(dim=2)


def read_slots(
    model: UniKeyphraseModel, source: SourceCache, *, mask_id: int, end_id: int
) -> list[tuple[np.ndarray, ...]]:
    """Generate the phrase of each slot greedily. Empty phrases, and those that do not end, are left out.

    Args:
        model: the model, in evaluation mode.
        source: from `UniKeyphraseModel.encode_source`.
        mask_id: id of [MASK].
        end_id: id of [SEP].

    Returns:
        For each document three arrays [n] over the tokens of its phrases, the best phrase first: the tokens, int64,
        each phrase with its [SEP]; the score of the token's phrase, float64, which is exp of the mean log-probability
        of its tokens; its slot, int64.
    """
    steps: list[tuple[Tensor, Tensor]] = []
    ended_BN: Tensor | bool = False
    for scores_BNV in islice(greedy_steps(model, source, mask_id), model.config.target_tokens):
        each_BN, tokens_BN = scores_BNV.max(dim=2)
        steps.append((each_BN, tokens_BN))
        ended_BN = (tokens_BN == end_id) | ended_BN
        if ended_BN.all():
            break
    each_BNt, tokens_BNt = (torch.stack(parts, dim=2).cpu().numpy() for parts in zip(*steps, strict=True))
    return [_join(*document, end_id) for document in zip(tokens_BNt, each_BNt.astype(np.float64), strict=True)]


def _join(tokens_Nt: np.ndarray, each_Nt: np.ndarray, end_id: int) -> tuple[np.ndarray, ...]:
    """The result of `read_slots` for one document, from its tokens and their log-probabilities."""
    found = []
    for slot, (tokens, each) in enumerate(zip(tokens_Nt, each_Nt, strict=True)):
        length = int((np.cumsum(tokens == end_id) == 0).sum()) + 1  # with [SEP]
        if 1 < length <= len(tokens):
            found.append((float(np.exp(each[:length].mean())), slot, tokens[:length]))
    found.sort(key=lambda phrase: (-round(phrase[0], _DIGITS), phrase[1]))
    lengths = [len(tokens) for *_, tokens in found]
    return (
        np.concatenate([np.zeros(0, dtype=np.int64), *(tokens for *_, tokens in found)]),
        np.repeat([score for score, *_ in found], lengths),
        np.repeat(np.array([slot for _, slot, _ in found], dtype=np.int64), lengths),
    )
