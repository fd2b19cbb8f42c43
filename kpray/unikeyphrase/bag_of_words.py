"""The bag-of-words constraint of UniKeyphrase (Wu et al., 2021, Sec. 3.3, Eq. 9-12).

A word is a token id here, as in the paper's model. A document's words are those of its gold keyphrases and of its
predicted ones, present and absent; their predicted counts should equal the gold counts.

Shape legend: B documents, S source tokens (padded), N target rows, V vocabulary, C labels, W words of all documents
(the same word of two documents counts twice).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kpray.unikeyphrase.labels import OUTSIDE


def bag_of_words_errors(
    label_logits: Tensor,
    source_ids: Tensor,
    labels: Tensor,
    token_logits: Tensor,
    target_ids: Tensor,
    target_documents: Tensor,
    ignored_ids: Tensor,
) -> Tensor:
    """Mean squared error of the predicted counts of each document's words, Eq. 9-11.

    V^p(w) sums the highest label probability of the places of w whose predicted label is not O; V^a(w) sums the
    generation probability of w over all target rows. Gold counts are one for each place of w whose gold label is not O
    and for each target token w.

    Args:
        label_logits: [B, S, C].
        source_ids: int64 [B, S].
        labels: int64 [B, S], gold; -100 where there is no token of the text.
        token_logits: [N, V].
        target_ids: int64 [N], gold.
        target_documents: int64 [N], the document of each target row.
        ignored_ids: int64 [I], tokens that are no words: special tokens and the delimiter.

    Returns:
        [B], float32 at least, with its graph; 0 for a document without words.
    """
    exact = torch.promote_types(label_logits.dtype, torch.float32)
    documents, vocabulary = len(source_ids), token_logits.shape[1]
    token_logits = token_logits.to(exact)
    probability_BS, predicted_BS = label_logits.softmax(dim=-1, dtype=exact).max(dim=-1)
    is_word_BS = (labels != -100) & ~torch.isin(source_ids, ignored_ids)
    # The word of a place as one number, document and token id together.
    source_words = source_ids + vocabulary * torch.arange(documents, device=source_ids.device)[:, None]
    predicted_places = is_word_BS & (predicted_BS != OUTSIDE)
    present_words = source_words[predicted_places]

    generated_ids = token_logits.argmax(dim=-1)
    generated_words = (generated_ids + vocabulary * target_documents)[~torch.isin(generated_ids, ignored_ids)]
    gold_words = torch.cat(
        [
            source_words[is_word_BS & (labels != OUTSIDE)],
            (target_ids + vocabulary * target_documents)[~torch.isin(target_ids, ignored_ids)],
        ]
    )
    words_W, place = torch.unique(torch.cat([gold_words, present_words, generated_words]), return_inverse=True)
    gold_place, present_place, _ = place.split([len(gold_words), len(present_words), len(generated_words)])
    word_documents_W = words_W // vocabulary

    # Eq. 10: each target row meets the words of its own document, which stand side by side in words_W.
    words_of_document = torch.bincount(word_documents_W, minlength=documents)
    words_of_row = words_of_document[target_documents]
    row = torch.repeat_interleave(words_of_row)
    first_word = (words_of_document.cumsum(0) - words_of_document)[target_documents]
    first_pair = words_of_row.cumsum(0) - words_of_row
    pair_place = torch.arange(len(row), device=row.device) + (first_word - first_pair)[row]
    log_total = token_logits.logsumexp(dim=-1)
    generation = (token_logits[row, words_W[pair_place] % vocabulary] - log_total[row]).exp()

    counts_W = label_logits.new_zeros(len(words_W), dtype=exact)
    counts_W = counts_W.index_add(0, present_place, probability_BS[predicted_places])  # Eq. 9
    counts_W = counts_W.index_add(0, pair_place, generation)
    gold_W = torch.bincount(gold_place, minlength=len(words_W))
    squares_B = label_logits.new_zeros(documents, dtype=exact).index_add(0, word_documents_W, (counts_W - gold_W) ** 2)
    return squares_B / words_of_document.clamp(min=1)


def bow_weight_schedule(progress: float, maximum: float) -> float:
    """Weight of the constraint, Eq. 12: log((e^w_m - 1) * progress + 1).

    Args:
        progress: t / t_total, in [0, 1].
        maximum: w_m, the weight at the end.
    """
    return math.log(math.expm1(maximum) * progress + 1)
