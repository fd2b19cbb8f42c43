"""Beam search in which the beams of a document share the keys and values of its source.

The sequences are those of `generate` of transformers. It copies the states of the encoder for each beam, projects each
copy to keys and values, and computes finished documents until the last one of the batch is finished; here a source is
projected and read once for all its beams, and finished documents leave the batch.

Shape legend: B documents, K beams, S source tokens (padded), P start tokens of the decoder, V vocabulary,
A attention heads, D size of a head, n tokens of a hypothesis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, EncoderDecoderCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_outputs import BaseModelOutput

from kpray.beams import Steps, of_parents

_SHARING = "kpray_sharing"  # name of the attention function in transformers


def share_sources(model: Any) -> None:
    """Let the beams of a document share the keys and values of its source, if the model's attention can be replaced.

    Nothing else changes: with as many keys as queries, the attention is the same as before. Models without `sdpa` are
    left as they are, and `ModelSteps` copies the keys and values for them.
    """
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(_SHARING)


def _sharing_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """`sdpa`; but the queries of a document's beams, [B * K, A, 1, D], may share its keys and values, [B, A, S, D]."""
    if len(query) == len(key):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    _, heads, _, size = query.shape
    of_documents = query.reshape(len(key), -1, heads, size).transpose(1, 2)  # [B, A, K, D]
    options["is_causal"] = False  # the queries are beams, not successive tokens
    found, nothing = sdpa_attention_forward(module, of_documents, key, value, attention_mask, **options)
    return found.reshape(len(query), 1, heads, size), nothing


AttentionInterface.register(_SHARING, _sharing_attention)
AttentionMaskInterface.register(_SHARING, sdpa_mask)


class Hypothesis(NamedTuple):
    """The best sequence of a document.

    Attributes:
        ids: [n], without start tokens; the end token is the last one, if the sequence was not cut.
        probabilities: [n], probability of each token given the tokens before it.
    """

    ids: list[int]
    probabilities: list[float]


class ModelSteps:
    """Runs a sequence-to-sequence model of transformers. Keys and values of all former tokens are cached."""

    def __init__(
        self, model: Any, encoded: tuple[Tensor, Tensor], starts: Sequence[Sequence[int]], forbidden: Sequence[int]
    ) -> None:
        """Prepare the first step.

        Args:
            model: the model, in evaluation mode.
            encoded: hidden states of the sources, [B, S, H], and their mask, bool [B, S], False for padding.
            starts: start tokens of the decoder for each document, [P] each.
            forbidden: ids that are never generated.
        """
        self.model, self.beams = model, 1
        self.hidden_BSH, self.mask_BS = encoded
        self.starts_BP = torch.tensor(starts, device=model.device)
        self.forbidden = torch.tensor(forbidden, device=model.device, dtype=torch.int64)
        config = model.config.get_text_config(decoder=True)
        self.cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))

    def start(self) -> Tensor:
        """See `Steps`."""
        return self._next(self.starts_BP)

    def advance(self, documents: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        """See `Steps`."""
        rows = (documents[:, None] * self.beams + parents).flatten()
        self.cache.self_attention_cache.batch_select_indices(rows)
        sources = documents if self.model.config._attn_implementation == _SHARING else rows
        if len(sources) != len(self.mask_BS):
            self.cache.cross_attention_cache.batch_select_indices(sources)
            self.hidden_BSH, self.mask_BS = self.hidden_BSH[sources], self.mask_BS[sources]
        self.beams = parents.shape[1]
        return self._next(tokens.reshape(-1, 1))

    def _next(self, ids: Tensor) -> Tensor:
        """Log-probabilities of the token after these ids, int64 [B * K, number of new tokens]."""
        output = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.hidden_BSH),
            attention_mask=self.mask_BS,
            decoder_input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
        )
        scores: Tensor = output.logits[:, -1].log_softmax(dim=-1, dtype=torch.float32)
        return scores.index_fill_(1, self.forbidden, -torch.inf).reshape(-1, self.beams, scores.shape[1])


def beam_search(
    steps: Steps, *, beams: int, target_tokens: int, end_id: int, length_penalty: float = 1.0
) -> list[Hypothesis]:
    """Search for the most probable sequence of each document, with the rules of `generate` of transformers.

    A step takes the 2K best continuations of a document, so that at least K of them have not ended. Those of the first
    K that have ended are finished hypotheses; the best K others are the new beams. A document is finished when it has K
    finished hypotheses, and none of its beams has a better score than the worst of these. After `target_tokens` tokens
    all beams end. One beam is greedy search.

    Args:
        steps: the model, with a batch of at least one document.
        beams: K, at least 1.
        target_tokens: maximum number of tokens, the end included.
        end_id: the token that ends a sequence.
        length_penalty: the score of a hypothesis of n tokens is log-probability / n ** penalty.
    """
    next_token = steps.start()
    documents, vocabulary = len(next_token), next_token.shape[2]
    width = min(2 * beams, vocabulary) if beams > 1 else 1
    rows = torch.arange(documents, device=next_token.device)  # document of each row of the batch
    live = next_token.new_zeros(documents, 1)  # log-probability of each beam
    tokens = rows.new_empty(documents, 1, 0)
    each = next_token.new_empty(documents, 1, 0)  # log-probability of each token
    finished = next_token.new_full((documents, beams), -torch.inf)  # scores of each row's best finished hypotheses
    best: list[tuple[Tensor, Tensor]] = [(tokens[0, 0], each[0, 0])] * documents

    for length in range(1, target_tokens + 1):
        # The best tokens of each beam come first, so that only these are added to the beams' log-probabilities.
        continuations, choices = next_token.topk(width, dim=2)
        totals, chosen = (live[:, :, None] + continuations).flatten(1).topk(width, dim=1)
        parents, appended = chosen // width, choices.flatten(1).gather(1, chosen)
        tokens = torch.cat([of_parents(tokens, parents), appended[:, :, None]], dim=2)
        each = torch.cat([of_parents(each, parents), continuations.flatten(1).gather(1, chosen)[:, :, None]], dim=2)

        ended = (appended == end_id) | (length == target_tokens)
        scores = (totals / length**length_penalty).masked_fill(~ended, -torch.inf)[:, :beams]
        score, beam = scores.max(dim=1)
        for row in (score > finished[:, 0]).nonzero().flatten().tolist():
            best[rows[row]] = tokens[row, beam[row]], each[row, beam[row]]
        finished = torch.cat([finished, scores], dim=1).topk(beams, dim=1).values
        live, kept = totals.masked_fill(ended, -torch.inf).topk(beams, dim=1)
        going_on = (live[:, 0] / length**length_penalty > finished[:, -1]).nonzero().flatten()
        if length == target_tokens or not len(going_on):
            break
        rows, live, finished, kept = rows[going_on], live[going_on], finished[going_on], kept[going_on]
        tokens, each = of_parents(tokens[going_on], kept), of_parents(each[going_on], kept)
        next_token = steps.advance(going_on, parents[going_on].gather(1, kept), tokens[:, :, -1])
    return [Hypothesis(ids.tolist(), chances.exp().tolist()) for ids, chances in best]
