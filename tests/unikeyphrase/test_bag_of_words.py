"""The bag-of-words constraint compared with loops over Eq. 9-12."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kpray.unikeyphrase.bag_of_words import bag_of_words_errors, bow_weight_schedule
from kpray.unikeyphrase.inputs import collate

VOCABULARY, IGNORED = 12, (0, 1, 2)


def naive_errors(
    label_logits: Tensor,
    source_ids: list[list[int]],
    labels: list[list[int]],
    token_logits: Tensor,
    target_ids: list[int],
    target_documents: list[int],
) -> list[float]:
    errors = []
    for b, (ids, gold_labels) in enumerate(zip(source_ids, labels, strict=True)):
        predicted: Counter[int] = Counter()  # word -> count V, a float
        gold: Counter[int] = Counter()
        words = set()
        for i, (word, gold_label) in enumerate(zip(ids, gold_labels, strict=True)):
            if gold_label == -100 or word in IGNORED:
                continue
            probabilities = label_logits[b, i].softmax(-1).tolist()
            if probabilities.index(max(probabilities)) != 0:
                predicted[word] += max(probabilities)  # Eq. 9
                words.add(word)
            if gold_label != 0:
                gold[word] += 1
                words.add(word)
        for j, (word, document) in enumerate(zip(target_ids, target_documents, strict=True)):
            if document != b:
                continue
            probabilities = token_logits[j].softmax(-1).tolist()
            for other, probability in enumerate(probabilities):
                predicted[other] += probability  # Eq. 10
            if word not in IGNORED:
                gold[word] += 1
                words.add(word)
            likeliest = probabilities.index(max(probabilities))
            if likeliest not in IGNORED:
                words.add(likeliest)
        squares = sum((predicted[word] - gold[word]) ** 2 for word in words)  # Eq. 11
        errors.append(squares / len(words) if words else 0.0)
    return errors


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, list[list[int]], list[list[int]], Tensor, list[int], list[int]]:
    documents, source = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    ids = st.integers(0, VOCABULARY - 1)
    source_ids = [draw(st.lists(ids, min_size=source, max_size=source)) for _ in range(documents)]
    labels = [
        draw(st.lists(st.sampled_from([-100, 0, 0, 1, 2, 3]), min_size=source, max_size=source))
        for _ in range(documents)
    ]
    target_documents = sorted(draw(st.lists(st.integers(0, documents - 1), max_size=8)))
    target_ids = draw(st.lists(ids, min_size=len(target_documents), max_size=len(target_documents)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    label_logits = 2 * torch.randn(documents, source, 4, generator=generator, dtype=torch.float64)
    token_logits = 2 * torch.randn(len(target_ids), VOCABULARY, generator=generator, dtype=torch.float64)
    return label_logits, source_ids, labels, token_logits, target_ids, target_documents


@given(batches())
def test_errors_agree_with_the_equations(
    batch: tuple[Tensor, list[list[int]], list[list[int]], Tensor, list[int], list[int]],
) -> None:
    label_logits, source_ids, labels, token_logits, target_ids, target_documents = batch
    found = bag_of_words_errors(
        label_logits,
        torch.tensor(source_ids),
        torch.tensor(labels),
        token_logits.log_softmax(-1),
        torch.tensor(target_ids, dtype=torch.int64),
        torch.tensor(target_documents, dtype=torch.int64),
        torch.tensor(IGNORED),
    )
    wanted = naive_errors(*batch)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-8, rtol=0)


@pytest.mark.parametrize("rows", ["masked", "all"])
def test_both_readings_of_equation_10(rows: str) -> None:
    """j runs over the masked target tokens or over all of them, in the prediction and in the gold."""
    mask, pad, target_lengths = 11, 0, [6, 1, 9]
    documents: list[dict[str, np.ndarray]] = [
        {
            "source": np.array([1, 5, 6, 7, 2], np.int32),
            "labels": np.array([-100, 1, 2, 0, -100], np.int8),
            "target": np.array([*[3 + index % 5 for index in range(length - 1)], 2], np.int32),
        }
        for length in target_lengths
    ]
    batch = collate(documents, [3, 4, 5], mask_id=mask, pad_id=pad, mask_probability=0.6, unmasked_rows=rows == "all")
    tokens = batch["input_ids"].shape[1]
    generator = torch.Generator().manual_seed(1)
    label_logits = 2 * torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(3 * tokens, VOCABULARY, generator=generator, dtype=torch.float64)
    found = bag_of_words_errors(
        label_logits,
        batch["input_ids"][:, :5],
        batch["labels"],
        logits[batch["target_rows"]].log_softmax(-1),
        batch["target_ids"],
        batch["target_rows"] // tokens,
        torch.tensor(IGNORED),
    )
    counted = [
        (b * tokens + 5 + j, int(documents[b]["target"][j]), b)
        for b, length in enumerate(target_lengths)
        for j in range(length)
        if rows == "all" or batch["input_ids"][b, 5 + j] == mask
    ]
    assert 0 < len(counted) <= sum(target_lengths)
    assert (len(counted) == sum(target_lengths)) == (rows == "all")
    indices, target_ids, target_documents = map(list, zip(*counted, strict=True))
    source_ids, labels = ([one[name].tolist() for one in documents] for name in ("source", "labels"))
    wanted = naive_errors(label_logits, source_ids, labels, logits[indices], target_ids, target_documents)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-8, rtol=0)


def test_one_document_by_hand() -> None:
    """Source [CLS] 5 6 [SEP] with gold 5; target 6 [SEP] (id 2); uniform probabilities except as given."""
    label_logits = torch.zeros(1, 4, 4)
    label_logits[0, 1, 1] = math.log(5)  # position of 5: B, 5 / 8
    label_logits[0, 2, 0] = math.log(3)  # position of 6: O
    token_logits = torch.zeros(2, VOCABULARY)
    token_logits[0, 7] = math.log(9)  # 7: 9 / 20, the others 1 / 20
    token_logits[1, 2] = math.log(89)  # [SEP]: 89 / 100, the others 1 / 100
    found = bag_of_words_errors(
        label_logits,
        torch.tensor([[1, 5, 6, 2]]),
        torch.tensor([[-100, 1, 0, -100]]),
        token_logits.log_softmax(-1),
        torch.tensor([6, 2]),
        torch.tensor([0, 0]),
        torch.tensor(IGNORED),
    )
    five = 5 / 8 + (1 / 20 + 1 / 100) - 1  # gold, present
    six = 1 / 20 + 1 / 100 - 1  # gold, absent
    seven = 9 / 20 + 1 / 100 - 0  # predicted
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([(five**2 + six**2 + seven**2) / 3], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    label_logits = torch.randn(2, 5, 4).to(dtype)
    log_probabilities = torch.randn(4, VOCABULARY).log_softmax(-1).to(dtype)
    rest = (torch.randint(VOCABULARY, (2, 5)), torch.randint(4, (2, 5)))
    target = (torch.randint(VOCABULARY, (4,)), torch.tensor([0, 0, 1, 1]), torch.tensor(IGNORED))
    found = bag_of_words_errors(label_logits, *rest, log_probabilities, *target)
    assert found.dtype == torch.float32
    assert torch.equal(found, bag_of_words_errors(label_logits.float(), *rest, log_probabilities.float(), *target))


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(1)
    label_logits = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    token_logits = torch.randn(5, VOCABULARY, dtype=torch.float64, requires_grad=True)
    source_ids, labels = torch.randint(VOCABULARY, (2, 5)), torch.randint(4, (2, 5))
    target = (torch.randint(VOCABULARY, (5,)), torch.tensor([0, 0, 0, 1, 1]), torch.tensor(IGNORED))
    assert torch.autograd.gradcheck(
        lambda present, absent: bag_of_words_errors(present, source_ids, labels, absent.log_softmax(-1), *target),
        (label_logits, token_logits),
    )


@given(st.floats(0, 1), st.floats(0, 5))
def test_weight_agrees_with_the_equation(progress: float, maximum: float) -> None:
    wanted = math.log((math.exp(maximum) - 1) * progress + 1)
    assert bow_weight_schedule(progress, maximum) == pytest.approx(wanted, abs=1e-8)


def test_weight_at_both_ends() -> None:
    assert bow_weight_schedule(0, 1.0) == 0
    assert bow_weight_schedule(1, 1.0) == pytest.approx(1.0)
    assert bow_weight_schedule(0.5, 0.0) == 0
    assert bow_weight_schedule(0.5, 1.0) == pytest.approx(math.log((math.e + 1) / 2))
