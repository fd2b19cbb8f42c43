"""Prediction with the model: label logits of the source for present keyphrases, beam search for absent keyphrases.

Shape legend: B documents, K beams, S source tokens (padded), C labels, V vocabulary, n emitted tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from kpray.batches import BatchTokens, batches_by_length
from kpray.beams import Steps, of_parents
from kpray.unikeyphrase.cache import SourceCache
from kpray.unikeyphrase.config import DecodeConfig
from kpray.unikeyphrase.inputs import Encoder, Source
from kpray.unikeyphrase.labels import OUTSIDE, read_phrases
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.slots import read_slots

BATCH_TOKENS = BatchTokens()
# A short document counts as this many tokens: its beams' log-probabilities over the vocabulary take as much memory.
_MIN_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Reading:
    """Output of the model for one document.

    Attributes:
        label_logits: float32 [S, C], without [CLS] and [SEP].
        target: int64 [n], the best sequence of absent keyphrases, with [SEP] if it ended; or the phrases of the slots,
            each with [SEP], see `read_slots`.
        probabilities: float64 [n], probability of each target token given the tokens before it; with slots, the score
            of its phrase.
        slots: int64 [n], slot of each target token; None if the target is a sequence.
        hypotheses: for each kept hypothesis, the best first, its target, its probabilities, and its share of the
            probability of all of them; empty if only the best one is kept (`DecodeConfig.alternatives`).
    """

    label_logits: np.ndarray
    target: np.ndarray
    probabilities: np.ndarray
    slots: np.ndarray | None = None
    hypotheses: Sequence[tuple[np.ndarray, np.ndarray, float]] = ()


def read_documents(
    model: UniKeyphraseModel,
    encoder: Encoder,
    sources: Sequence[Source],
    decode: DecodeConfig,
    batch_tokens: int | None = None,
) -> list[Reading]:
    """Compute the label logits of each document and search for its absent keyphrases.

    Args:
        model: the model, in evaluation mode.
        encoder: tokenizer of the model.
        sources: from `Encoder.encode_source`.
        decode: configuration of the search; `outside_bias` has no effect here.
        batch_tokens: maximum number of tokens in one forward pass, padding included; None: the default for the model's
            device.

    Returns:
        One `Reading` per source, in order.
    """
    batch_tokens = BATCH_TOKENS.choose(batch_tokens, model.device)
    readings: dict[int, Reading] = {}
    ids = [source.ids for source in sources]
    for batch, input_ids, lengths in source_batches(ids, encoder.pad_id, batch_tokens, model.device):
        label_logits, targets = _read_batch(model, encoder, input_ids, lengths, decode)
        logits = label_logits.float().cpu().numpy()
        for row, (index, target) in enumerate(zip(batch, targets, strict=True)):
            readings[index] = Reading(logits[row, 1 : len(ids[index]) - 1], *target)
    return [readings[index] for index in range(len(sources))]


def _read_batch(
    model: UniKeyphraseModel, encoder: Encoder, input_ids: Tensor, lengths: Tensor, decode: DecodeConfig
) -> tuple[Tensor, Sequence[tuple[Any, ...]]]:
    """Label logits [B, S, C], and for each document the other attributes of its `Reading`."""
    steps: Steps
    if model.config.relation_mask == "none":
        label_logits = model(input_ids, lengths, lengths, lengths.new_empty(0)).label_logits
        steps = FullSteps(model, input_ids, lengths, encoder.mask_id)
    else:
        label_logits, cache = model.encode_source(input_ids, lengths)
        if model.config.target == "set":
            return label_logits, read_slots(model, cache, mask_id=encoder.mask_id, end_id=encoder.sep_id)
        steps = CachedSteps(model, cache, encoder.mask_id)
    found = beam_search(
        steps,
        beams=decode.beams,
        length_penalty=decode.length_penalty,
        empty=decode.empty,
        alternatives=decode.alternatives,
        target_tokens=model.config.target_tokens,
        end_id=encoder.sep_id,
    )
    return label_logits, [_kept(found, row, decode.alternatives < 1) for row in range(len(found.tokens))]


def _kept(found: Hypotheses, document: int, several: bool) -> tuple[Any, ...]:
    """Target, probabilities, no slots, and hypotheses of a document, see `Reading`."""
    lengths = found.lengths[document].tolist()
    targets = [
        (tokens[:length].numpy(), each[:length].double().exp().numpy())
        for tokens, each, length in zip(found.tokens[document], found.log_probabilities[document], lengths, strict=True)
        if length
    ]
    shares = found.log_probabilities[document, : len(targets)].double().sum(1).softmax(0).tolist()
    return *targets[0], None, [(*target, share) for target, share in zip(targets, shares, strict=True) if several]


def source_batches(
    ids: Sequence[np.ndarray], pad_id: int, batch_tokens: int, device: torch.device
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Batches of documents of similar length.

    Args:
        ids: int32 [S] token ids of each document, [CLS] and [SEP] included.
        pad_id: id of [PAD].
        batch_tokens: maximum number of tokens in a batch, padding included.
        device: device of the tensors.

    Yields:
        For each batch the indices of its documents, their token ids int64 [B, S] and their lengths int64 [B].
    """
    for batch in batches_by_length([max(len(row), _MIN_TOKENS) for row in ids], batch_tokens):
        rows = [torch.from_numpy(ids[index].astype(np.int64)) for index in batch]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        yield batch, pad_sequence(rows, batch_first=True, padding_value=pad_id).to(device), lengths


def label_probabilities(label_logits: np.ndarray, outside_bias: float) -> np.ndarray:
    """Label probabilities by Eq. 7, with a bias added to the logit of O: float [S, C] to float64 [S, C]."""
    biased = label_logits.astype(np.float64)
    biased[:, OUTSIDE] += outside_bias
    exponentials = np.exp(biased - biased.max(axis=1, keepdims=True))
    shares: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def extract_phrases(probabilities: np.ndarray, source: Source) -> list[tuple[int, int, float]]:
    """Present phrases of a document; see `read_phrases`. Token indices do not count [CLS].

    Args:
        probabilities: float64 [S, C], label probabilities without [CLS] and [SEP].
        source: the document.
    """
    labels = probabilities.argmax(axis=1)
    return read_phrases(labels, probabilities.max(axis=1), source.starts_word[1:-1])


class CachedSteps:
    """Steps that compute only the new rows."""

    def __init__(self, model: UniKeyphraseModel, source: SourceCache, mask_id: int) -> None:
        self.model, self.source, self.mask_id = model, source, mask_id
        self.emitted = model.start(source)
        self.documents = 0

    def start(self) -> Tensor:
        """See `Steps`."""
        scores, self.emitted = self.model.decode_step(self.source, self.emitted, None, self.mask_id)
        self.documents = len(scores)
        return scores

    def advance(self, documents: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        """See `Steps`."""
        if len(documents) < self.documents:
            self.source, self.emitted = self.source.select(documents), self.emitted.select(documents)
            self.documents = len(documents)
        self.emitted = self.emitted.reorder(parents)
        scores, self.emitted = self.model.decode_step(self.source, self.emitted, tokens, self.mask_id)
        return scores


class FullSteps:
    """Steps that compute all rows again. `relation_mask` none requires this; tests use it as the reference."""

    def __init__(self, model: UniKeyphraseModel, input_ids: Tensor, source_lengths: Tensor, mask_id: int) -> None:
        self.model, self.input_ids, self.source_lengths, self.mask_id = model, input_ids, source_lengths, mask_id
        self.emitted = input_ids.new_empty(len(input_ids), 1, 0)

    def start(self) -> Tensor:
        """See `Steps`."""
        return self.model.full_step(self.input_ids, self.source_lengths, self.emitted, self.mask_id)

    def advance(self, documents: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        """See `Steps`."""
        self.input_ids, self.source_lengths = self.input_ids[documents], self.source_lengths[documents]
        self.emitted = torch.cat([of_parents(self.emitted[documents], parents), tokens[:, :, None]], dim=2)
        return self.start()


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """The F best hypotheses of each of B documents, on the CPU.

    Attributes:
        tokens: int64 [B, F, n], filled up with `end_id`. A hypothesis that was cut at the maximum length has no
            `end_id`.
        log_probabilities: float32 [B, F, n], log-probability of each token given the tokens before it; 0 after the end.
        lengths: int64 [B, F], number of tokens of each hypothesis, its end included; 0: there are fewer hypotheses.
        scores: float32 [B, F], score of each hypothesis, log-probability / length ** penalty, in descending order;
            -inf: there are fewer hypotheses.
    """

    tokens: Tensor
    log_probabilities: Tensor
    lengths: Tensor
    scores: Tensor


def beam_search(
    steps: Steps,
    *,
    beams: int,
    length_penalty: float,
    target_tokens: int,
    end_id: int,
    empty: bool = True,
    alternatives: float = 1.0,
) -> Hypotheses:
    """Search for the most probable sequences of each document.

    Each step keeps the `beams` best continuations of a document; among equals, those with the lower index (parent, then
    token). A continuation that ends becomes a finished hypothesis and leaves the beam. A document is finished, and
    dropped from the batch, when no live hypothesis can still become one of the kept ones. If no hypothesis has ended
    after `target_tokens` tokens, the result is the best live one. One beam is greedy search.

    Args:
        steps: the model, with a batch of at least one document.
        beams: K, at least 1.
        length_penalty: a hypothesis of n tokens is ranked by log-probability / n ** penalty.
        target_tokens: maximum number of tokens, the end included.
        end_id: the token that ends a sequence.
        empty: whether a sequence may end with its first token.
        alternatives: with 1, the best hypothesis is kept (F is 1). With less, the K best are kept (F is K) whose score
            is at least the best score + log(alternatives).
    """
    next_token = steps.start()
    if not empty:
        next_token[:, :, end_id] = -torch.inf
    documents, kept = len(next_token), beams if alternatives < 1 else 1
    rows = torch.arange(documents, device=next_token.device)  # document of each row of the batch
    live = next_token.new_zeros(documents, 1)  # log-probability of each beam; -inf: the beam has ended
    tokens = rows.new_empty(documents, 1, 0)
    each = next_token.new_empty(documents, 1, 0)  # log-probability of each token
    best = next_token.new_full((documents, kept), -torch.inf)  # scores of the best finished hypotheses, descending
    best_tokens = rows.new_full((documents, kept, target_tokens), end_id)
    best_each = next_token.new_zeros(documents, kept, target_tokens)
    lengths = rows.new_zeros(documents, kept)

    for length in range(1, target_tokens + 1):
        # Take the best tokens of each beam first, so that the sum with the beams' log-probabilities is small.
        continuations, choices = (part.reshape(*live.shape, -1) for part in top_stable(next_token.flatten(0, 1), beams))
        live, chosen = top_stable((live[:, :, None] + continuations).flatten(1), beams)
        parents, appended = chosen // choices.shape[2], choices.flatten(1).gather(1, chosen)
        tokens = torch.cat([of_parents(tokens, parents), appended[:, :, None]], dim=2)
        each = torch.cat([of_parents(each, parents), continuations.flatten(1).gather(1, chosen)[:, :, None]], dim=2)

        ended = (appended == end_id) & ~live.isneginf()
        candidates = torch.where(ended, live, -torch.inf) / length**length_penalty
        if length == target_tokens:  # if no hypothesis has ended, take the best live one
            nothing_ended = best[rows, :1].isneginf() & ~ended.any(1, keepdim=True)
            first = torch.arange(live.shape[1], device=live.device) == 0
            candidates = torch.where(nothing_ended & first, live / length**length_penalty, candidates)
        scores = torch.cat([best[rows], candidates], dim=1)
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :kept]
        room = (0, target_tokens - length)
        best_tokens[rows] = of_parents(torch.cat([best_tokens[rows], pad(tokens, room, value=end_id)], dim=1), order)
        best_each[rows] = of_parents(torch.cat([best_each[rows], pad(each, room)], dim=1), order)
        lengths[rows] = torch.cat([lengths[rows], torch.full_like(appended, length)], dim=1).gather(1, order)
        best[rows] = scores.gather(1, order)

        live = live.masked_fill(ended, -torch.inf)
        # Upper bound of the final score: log-probabilities only decrease, and the maximum length lifts them most.
        bound = live.amax(1) / target_tokens**length_penalty
        least = torch.maximum(best[rows, 0] + math.log(alternatives), best[rows, -1])
        unfinished = (bound > least).nonzero().squeeze(1)
        if length == target_tokens or not len(unfinished):
            break
        if len(unfinished) < len(rows):
            rows, live, tokens, each = rows[unfinished], live[unfinished], tokens[unfinished], each[unfinished]
            parents, appended = parents[unfinished], appended[unfinished]
        next_token = steps.advance(unfinished, parents, appended)

    fewer = best < best[:, :1] + math.log(alternatives)
    best, lengths = best.masked_fill(fewer, -torch.inf), lengths.masked_fill(fewer, 0)
    longest = int(lengths.max())
    return Hypotheses(best_tokens[:, :, :longest].cpu(), best_each[:, :, :longest].cpu(), lengths.cpu(), best.cpu())


def top_stable(scores: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row and their indices, best first; equal scores by ascending index.

    The order of equal scores in `torch.topk` is undefined, and equal scores are frequent in half precision.

    Args:
        scores: [B, N], no NaN.
        number: number of scores for each row.

    Returns:
        Scores and int64 indices, [B, min(number, N)] each.
    """
    number = min(number, scores.shape[1])
    threshold = scores.topk(number, dim=1).values[:, -1:]
    rows, columns = (scores >= threshold).nonzero(as_tuple=True)  # with ties, more than `number` for a row
    values = scores[rows, columns]
    order = values.argsort(descending=True, stable=True)
    order = order[rows[order].argsort(stable=True)]
    first = torch.searchsorted(rows[order], torch.arange(len(scores), device=scores.device))
    taken = order[first[:, None] + torch.arange(number, device=scores.device)]
    return values[taken], columns[taken]
