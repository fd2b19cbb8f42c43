"""The bag-of-words constraint of UniKeyphrase (Wu et al., 2021, Sec. 3.3, Eq. 9-12).

A word is a token id, as in the paper's model. The words of a document are those of its gold and predicted keyphrases,
present and absent. The constraint pulls their predicted counts towards the gold counts.

Shape legend: B documents, S source tokens (padded), N target rows, V vocabulary, C labels, W words of all documents
(a word that occurs in two documents counts twice).
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
    log_probabilities: Tensor,
    target_ids: Tensor,
    target_documents: Tensor,
    ignored_ids: Tensor,
) -> Tensor:
    """Mean squared error of the predicted word counts of each document, Eq. 9-11.

    V^p(w) is the sum of the highest label probability over all source positions of w whose predicted label is not O.
    V^a(w) is the sum of the generation probability of w over the target rows: those of the masked target tokens, or of
    all (`LossConfig.bow_rows`). The gold count of w is the number of its source positions whose gold label is not O,
    plus the number of target rows whose gold token is w.

    Args:
        label_logits: [B, S, C].
        source_ids: int64 [B, S].
        labels: int64 [B, S], gold labels; -100 for special tokens and padding.
        log_probabilities: [N, V], logarithms of the generation probabilities.
        target_ids: int64 [N], gold tokens.
        target_documents: int64 [N], index of each target row's document.
        ignored_ids: int64 [I], ids that are not words: special tokens and the delimiter.

    Returns:
        [B], at least float32, with gradients; 0 for a document without words.
    """
    exact = torch.promote_types(label_logits.dtype, torch.float32)
    documents, vocabulary = len(source_ids), log_probabilities.shape[1]
    probability_BS, predicted_BS = label_logits.softmax(dim=-1, dtype=exact).max(dim=-1)
    is_word_BS = (labels != -100) & ~torch.isin(source_ids, ignored_ids)
    # Number of the word at each position: document and token id combined.
    source_words = source_ids + vocabulary * torch.arange(documents, device=source_ids.device)[:, None]
    is_present_BS = is_word_BS & (predicted_BS != OUTSIDE)
    present_words = source_words[is_present_BS]

    generated_ids = log_probabilities.argmax(dim=-1)
    generated_words = (generated_ids + vocabulary * target_documents)[~torch.isin(generated_ids, ignored_ids)]
    gold_words = torch.cat(
        [
            source_words[is_word_BS & (labels != OUTSIDE)],
            (target_ids + vocabulary * target_documents)[~torch.isin(target_ids, ignored_ids)],
        ]
    )
    words_W, index = torch.unique(torch.cat([gold_words, present_words, generated_words]), return_inverse=True)
    gold_index, present_index, _ = index.split([len(gold_words), len(present_words), len(generated_words)])
    word_documents_W = words_W // vocabulary

    # Eq. 10: pair each target row with all words of its document, which are adjacent in words_W.
    words_of_document = torch.bincount(word_documents_W, minlength=documents)
    words_of_row = words_of_document[target_documents]
    row = torch.repeat_interleave(words_of_row)
    first_word = (words_of_document.cumsum(0) - words_of_document)[target_documents]
    first_pair = words_of_row.cumsum(0) - words_of_row
    pair_index = torch.arange(len(row), device=row.device) + (first_word - first_pair)[row]
    generation = log_probabilities[row, words_W[pair_index] % vocabulary].to(exact).exp()

    counts_W = label_logits.new_zeros(len(words_W), dtype=exact)
    counts_W = counts_W.index_add(0, present_index, probability_BS[is_present_BS])  # Eq. 9
    counts_W = counts_W.index_add(0, pair_index, generation)
    gold_W = torch.bincount(gold_index, minlength=len(words_W))
    squares_B = label_logits.new_zeros(documents, dtype=exact).index_add(0, word_documents_W, (counts_W - gold_W) ** 2)
    return squares_B / words_of_document.clamp(min=1)


def bow_weight_schedule(progress: float, maximum: float) -> float:
    """Weight of the constraint, Eq. 12: log((e^w_m - 1) * progress + 1).

    Args:
        progress: t / t_total, in [0, 1].
        maximum: w_m, the weight at the end of training.
    """
    return math.log(math.expm1(maximum) * progress + 1)
