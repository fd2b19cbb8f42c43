"""The losses of UniKeyphrase (Wu et al., 2021, Sec. 3.4, Eq. 13-15).

Shape legend: B documents, T tokens of source and target (padded), S source tokens, N target rows, V vocabulary,
C labels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kpray.unikeyphrase.bag_of_words import bag_of_words_errors, bow_weight_schedule
from kpray.unikeyphrase.config import LossConfig
from kpray.unikeyphrase.labels import LABELS, OUTSIDE
from kpray.unikeyphrase.model import UniKeyphraseOutput


def uni_losses(
    output: UniKeyphraseOutput,
    batch: Mapping[str, Tensor],
    config: LossConfig,
    progress: float,
    ignored_ids: Tensor,
    extracts: bool = True,
) -> dict[str, Tensor]:
    """Eq. 15 and its parts, each summed over the documents of a batch.

    Args:
        output: of the model for this batch.
        batch: `input_ids` int64 [B, T], `labels` int64 [B, S] (-100 where there is no token of the text), and of the
            target rows that the losses need (see `LossConfig.bow_rows`) `target_rows` int64 [N] as indices into B * T,
            `target_ids` int64 [N] and `target_masked` bool [N]; with `ModelConfig.target` set also `target_null` bool
            [N], the rows of slots without a phrase.
        config: weights, and how a document's tokens are summed.
        progress: share of training that is done, in [0, 1].
        ignored_ids: int64 [I], tokens that are no words: special tokens and the delimiter.
        extracts: whether the model has labels (`ModelConfig.extraction`). If false, the loss is that of generation.

    Returns:
        Scalars, float32 at least: `loss` with its graph; detached `extraction` (Eq. 13), `generation` (Eq. 14),
        `bag_of_words` (Eq. 11, unweighted; 0 while its weight is 0) and `bow_weight` (Eq. 12, times B like the rest).
    """
    documents, tokens = batch["input_ids"].shape
    target_documents = batch["target_rows"] // tokens
    if extracts:
        extraction = extraction_losses(output.label_logits, batch["labels"], config).sum()
    else:  # DeepSpeed requires a gradient for each parameter
        extraction = 0 * output.label_logits.sum(dtype=torch.promote_types(output.label_logits.dtype, torch.float32))
    log_probabilities = token_log_probabilities(output.token_logits)
    weights = batch["target_masked"].to(log_probabilities.dtype)
    if "target_null" in batch:
        weights = torch.where(batch["target_null"], config.null_weight * weights, weights)
    generation = generation_losses(
        log_probabilities, batch["target_ids"], weights, target_documents, documents, config
    ).sum()
    bow_weight = bow_weight_schedule(progress, config.bow_weight) if extracts else 0.0
    bag_of_words = torch.zeros_like(extraction)
    if bow_weight > 0:
        bag_of_words = bag_of_words_errors(
            output.label_logits,
            batch["input_ids"][:, : output.label_logits.shape[1]],
            batch["labels"],
            log_probabilities,
            batch["target_ids"],
            target_documents,
            ignored_ids,
        ).sum()
    return {
        "loss": extraction + generation + bow_weight * bag_of_words,
        "extraction": extraction.detach(),
        "generation": generation.detach(),
        "bag_of_words": bag_of_words.detach(),
        "bow_weight": torch.full_like(extraction, bow_weight * documents, requires_grad=False),
    }


def extraction_losses(label_logits: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """Weighted cross-entropy of each document's labels, Eq. 13.

    Args:
        label_logits: [B, S, C].
        labels: int64 [B, S], gold; -100 where none counts.
        config: `positive_weight` and `reduction`.

    Returns:
        [B], float32 at least.
    """
    exact = torch.promote_types(label_logits.dtype, torch.float32)
    weight_C = torch.full((len(LABELS),), config.positive_weight, dtype=exact, device=labels.device)
    weight_C[OUTSIDE] = 1
    losses_BS = cross_entropy(label_logits.to(exact).mT, labels, weight_C, ignore_index=-100, reduction="none")
    if config.reduction == "sum":
        return losses_BS.sum(dim=1)
    weights_BS = weight_C[labels.clamp(min=0)].masked_fill(labels == -100, 0)
    return losses_BS.sum(dim=1) / weights_BS.sum(dim=1).clamp(min=torch.finfo(exact).tiny)


def token_log_probabilities(token_logits: Tensor) -> Tensor:
    """Logarithms of Eq. 8, float32 at least: [N, V]. Both losses of a batch share them, since they are large."""
    return token_logits.log_softmax(dim=-1, dtype=torch.promote_types(token_logits.dtype, torch.float32))


def generation_losses(
    log_probabilities: Tensor,
    target_ids: Tensor,
    weights: Tensor,
    target_documents: Tensor,
    documents: int,
    config: LossConfig,
) -> Tensor:
    """Cross-entropy of each document's masked tokens, Eq. 14.

    Args:
        log_probabilities: [N, V], from `token_log_probabilities`.
        target_ids: int64 [N], gold.
        weights: [N], weight of each row, 0 for rows that do not count; or bool.
        target_documents: int64 [N], the document of each row.
        documents: B.
        config: `reduction`.

    Returns:
        [B]; 0 for a document without masked tokens.
    """
    weights_N = weights.to(log_probabilities.dtype)
    losses_N = -log_probabilities.gather(1, target_ids[:, None]).squeeze(1) * weights_N
    losses_B = losses_N.new_zeros(documents).index_add(0, target_documents, losses_N)
    if config.reduction == "sum":
        return losses_B
    weights_B = torch.zeros_like(losses_B).index_add(0, target_documents, weights_N)
    return losses_B / weights_B.clamp(min=torch.finfo(weights_B.dtype).tiny)
