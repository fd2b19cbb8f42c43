"""Beam search compared with greedy and exhaustive search, over an artificial language."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kpray.unikeyphrase.decode import Hypotheses, beam_search, top_stable

END = 2
Prefix = tuple[int, ...]


class Language:
    """Next-token probabilities that depend on the document and on all earlier tokens; some are equal."""

    def __init__(self, seeds: list[int], vocabulary: int, *, ending: float = 1.0) -> None:
        self.seeds, self.vocabulary, self.ending = seeds, vocabulary, ending
        self.prefixes: list[list[Prefix]] = []
        self.asked = 0

    def of(self, document: int, prefix: Prefix) -> Tensor:
        random = Random(f"{self.seeds[document]} {prefix}")
        weights = torch.tensor([float(random.randint(1, 9)) for _ in range(self.vocabulary)])
        weights[END] *= self.ending
        return (weights / weights.sum()).log()

    def start(self) -> Tensor:
        self.documents = list(range(len(self.seeds)))
        self.prefixes = [[()] for _ in self.documents]
        return self._scores()

    def advance(self, documents: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
        assert documents.tolist() == sorted(set(documents.tolist()))
        kept = [(self.documents[row], self.prefixes[row]) for row in documents.tolist()]
        self.documents = [document for document, _ in kept]
        self.prefixes = [
            [(*before[parent], token) for parent, token in zip(parents_of_row, tokens_of_row, strict=True)]
            for (_, before), parents_of_row, tokens_of_row in zip(kept, parents.tolist(), tokens.tolist(), strict=True)
        ]
        return self._scores()

    def _scores(self) -> Tensor:
        self.asked += len(self.documents)
        rows = [
            torch.stack([self.of(document, prefix) for prefix in prefixes])
            for document, prefixes in zip(self.documents, self.prefixes, strict=True)
        ]
        return torch.stack(rows)

    def all_ended(self, document: int, target_tokens: int) -> Iterator[tuple[float, Prefix]]:
        """Log-probability of every sequence that ends."""
        others = [token for token in range(self.vocabulary) if token != END]
        for length in range(target_tokens):
            for body in product(others, repeat=length):
                tokens = (*body, END)
                yield sum(float(self.of(document, tokens[:n])[token]) for n, token in enumerate(tokens)), tokens


def sequences(found: Hypotheses) -> list[Prefix]:
    """The best hypothesis of each document."""
    return [kept[0] for kept in all_sequences(found)]


def all_sequences(found: Hypotheses) -> list[list[Prefix]]:
    """The kept hypotheses of each document, best first."""
    return [
        [tuple(tokens[:length]) for tokens, length in zip(of_document, lengths, strict=True) if length]
        for of_document, lengths in zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)
    ]


def search(
    language: Language,
    beams: int,
    *,
    target_tokens: int = 4,
    length_penalty: float = 0.0,
    end_id: int = END,
    empty: bool = True,
    alternatives: float = 1.0,
) -> Hypotheses:
    return beam_search(
        language,
        beams=beams,
        length_penalty=length_penalty,
        target_tokens=target_tokens,
        end_id=end_id,
        empty=empty,
        alternatives=alternatives,
    )


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("ending", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("empty", [True, False])
def test_as_good_as_exhaustive_search(length_penalty: float, ending: float, empty: bool) -> None:
    language = Language(list(range(12)), 4, ending=ending)
    found = search(language, 4**4, length_penalty=length_penalty, empty=empty)
    for document, (tokens, score) in enumerate(zip(sequences(found), found.scores[:, 0].tolist(), strict=True)):
        ranked = [
            (total / len(sequence) ** length_penalty, sequence)
            for total, sequence in language.all_ended(document, 4)
            if empty or len(sequence) > 1
        ]
        best, _ = max(ranked)
        assert score == pytest.approx(best, abs=1e-5)
        scores = {sequence: total for total, sequence in ranked}
        assert scores[tokens] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 1.5])
@pytest.mark.parametrize("ending", [0.1, 1.0, 3.0])
def test_one_beam_is_greedy(length_penalty: float, ending: float) -> None:
    language = Language(list(range(20)), 6, ending=ending)
    found = search(language, 1, target_tokens=7, length_penalty=length_penalty)
    for document, tokens in enumerate(sequences(found)):
        expected: Prefix = ()
        while len(expected) < 7 and END not in expected:
            expected = (*expected, int(language.of(document, expected).argmax()))
        assert tokens == expected


def naive_beam_search(language: Language, document: int, beams: int, target_tokens: int) -> list[tuple[float, Prefix]]:
    """All finished hypotheses of one document, best first, in lists; no early stop."""
    live: list[tuple[float, Prefix]] = [(0.0, ())]
    finished: list[tuple[float, Prefix]] = []
    for _ in range(target_tokens):
        scores = [torch.tensor(score) + language.of(document, prefix) for score, prefix in live]
        ranked = sorted(
            ((float(row[token]), (*prefix, token)) for row, (_, prefix) in zip(scores, live, strict=True)
             for token in range(language.vocabulary)),
            key=lambda candidate: -candidate[0],
        )  # fmt: skip
        finished += [candidate for candidate in ranked[:beams] if candidate[1][-1] == END]
        live = [candidate for candidate in ranked[:beams] if candidate[1][-1] != END]
        if not live:
            break
    return sorted(finished or live[:1], key=lambda candidate: -candidate[0])


@pytest.mark.parametrize("beams", [2, 3, 5, 9])
@pytest.mark.parametrize("ending", [0.05, 0.5, 2.0])
def test_agrees_with_a_naive_loop_and_stops_early(beams: int, ending: float) -> None:
    language = Language(list(range(30, 50)), 5, ending=ending)
    found = search(language, beams, target_tokens=6)
    for document, tokens in enumerate(sequences(found)):
        [(score, expected), *_] = naive_beam_search(language, document, beams, 6)
        assert tokens == expected
        assert float(found.scores[document, 0]) == pytest.approx(score, abs=1e-5)
    if ending == 2.0:
        assert language.asked < 20 * 6


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("alternatives", [0.9, 0.2, 0.01])
def test_alternatives_are_the_best_finished_hypotheses(beams: int, alternatives: float) -> None:
    language = Language(list(range(60, 80)), 5)
    found = search(language, beams, target_tokens=6, alternatives=alternatives)
    assert found.tokens.shape[1] == beams
    numbers = set()
    for document, kept in enumerate(all_sequences(found)):
        finished = naive_beam_search(language, document, beams, 6)
        least = finished[0][0] + math.log(alternatives)
        expected = [candidate for candidate in finished[:beams] if candidate[0] >= least]
        assert kept == [tokens for _, tokens in expected]
        assert found.scores[document, : len(kept)].tolist() == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert found.scores[document, len(kept) :].isneginf().all()
        numbers.add(len(kept))
    assert (max(numbers) > 1) is (beams > 1)


def test_documents_do_not_influence_each_other() -> None:
    together = sequences(search(Language([4, 1, 3, 0, 2], 5), 3, target_tokens=6))
    alone = [sequences(search(Language([seed], 5), 3, target_tokens=6))[0] for seed in (4, 1, 3, 0, 2)]
    assert together == alone
    assert len({len(tokens) for tokens in alone}) > 1


def test_log_probabilities_of_tokens() -> None:
    language = Language(list(range(8)), 5)
    found = search(language, 4, target_tokens=6)
    for document, tokens in enumerate(sequences(found)):
        expected = [float(language.of(document, tokens[:n])[token]) for n, token in enumerate(tokens)]
        n = len(tokens)
        assert found.log_probabilities[document, 0, :n].tolist() == pytest.approx(expected)
        assert found.log_probabilities[document, 0, n:].eq(0).all()
        assert found.tokens[document, 0, n:].eq(END).all()
        assert float(found.scores[document, 0]) == pytest.approx(sum(expected), abs=1e-5)


def test_a_hypothesis_without_end_is_cut() -> None:
    language = Language([0, 1], 5, ending=0.0)
    found = search(language, 3, target_tokens=4)
    assert [len(tokens) for tokens in sequences(found)] == [4, 4]
    assert END not in {*sequences(found)[0], *sequences(found)[1]}


def test_among_equals_the_lower_index_wins() -> None:
    class Even(Language):
        def of(self, document: int, prefix: Prefix) -> Tensor:
            return torch.full((self.vocabulary,), 1 / self.vocabulary).log()

    assert sequences(search(Even([0, 1], 7), 2, target_tokens=3)) == [(0, 0, 0), (0, 0, 0)]  # END is never among them
    assert sequences(search(Even([0], 7), 3, target_tokens=3)) == [(END,)]


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 8))
def test_top_is_a_stable_sort(rows: list[list[int]], number: int) -> None:
    scores, indices = top_stable(torch.tensor(rows, dtype=torch.float32).log(), number)
    for row, found, where in zip(rows, scores.exp().tolist(), indices.tolist(), strict=True):
        assert where == sorted(range(6), key=lambda index: -row[index])[:number]
        assert found == pytest.approx([row[index] for index in where])
