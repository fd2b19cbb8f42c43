"""Logits to phrases: cached decoding compared with full decoding, batches, scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch

from kpray.text.generated import split_target
from kpray.unikeyphrase.config import DecodeConfig
from kpray.unikeyphrase.decode import (
    CachedSteps,
    FullSteps,
    Hypotheses,
    Reading,
    beam_search,
    extract_phrases,
    label_probabilities,
    read_documents,
)
from kpray.unikeyphrase.inputs import Source
from kpray.unikeyphrase.labels import BEGIN, INSIDE, OUTSIDE, PIECE
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.conftest import MakeTask
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS, TARGET_TOKENS, make_model


def sources_of(task: UniKeyphraseTask) -> list[Source]:
    return [task.encoder.encode_source(record.document.text, SOURCE_TOKENS) for record in RECORDS]


def decode(task: UniKeyphraseTask, model: UniKeyphraseModel, sources: Sequence[Source], cached: bool) -> Hypotheses:
    longest = max(len(source.ids) for source in sources)
    ids = torch.full((len(sources), longest), task.encoder.pad_id)
    for row, source in zip(ids, sources, strict=True):
        row[: len(source.ids)] = torch.from_numpy(source.ids)
    lengths = torch.tensor([len(source.ids) for source in sources])
    mask_id = task.encoder.mask_id
    with torch.inference_mode():
        steps = (
            CachedSteps(model, model.encode_source(ids, lengths)[1], mask_id)
            if cached
            else FullSteps(model, ids, lengths, mask_id)
        )
        return beam_search(steps, beams=4, length_penalty=0.0, target_tokens=TARGET_TOKENS, end_id=task.encoder.sep_id)


@pytest.mark.parametrize("relation_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("relation_scale", ["one", "inverse_sqrt"])
def test_cached_decoding_agrees_with_full_decoding(
    relation_layers: int, relation_scale: str, tiny_task: MakeTask
) -> None:
    task = tiny_task(relation_layers=relation_layers, relation_scale=relation_scale)
    model = make_model(task)
    # Some documents should end sooner than others, so that they leave the batch.
    model.cls.predictions.bias.data[task.encoder.sep_id] += 2.5
    sources = sources_of(task)
    cached, full = (decode(task, model, sources, cached) for cached in (True, False))
    assert cached.tokens.tolist() == full.tokens.tolist()
    assert cached.lengths.tolist() == full.lengths.tolist()
    torch.testing.assert_close(cached.log_probabilities, full.log_probabilities, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cached.scores, full.scores, atol=1e-4, rtol=1e-5)


def test_documents_end_at_different_steps(trained: tuple[UniKeyphraseTask, UniKeyphraseModel]) -> None:
    task, model = trained
    cached, full = (decode(task, model.eval(), sources_of(task), cached) for cached in (True, False))  # type: ignore[no-untyped-call]
    assert len(set(cached.lengths[:, 0].tolist())) > 2
    assert cached.tokens.tolist() == full.tokens.tolist()
    torch.testing.assert_close(cached.log_probabilities, full.log_probabilities, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("relation_mask", ["backbone", "none"])
def test_batches_and_order_do_not_matter(relation_mask: str, tiny_task: MakeTask) -> None:
    task = tiny_task(relation_mask=relation_mask)
    model, sources, config = make_model(task), sources_of(task), DecodeConfig(beams=3)
    with torch.inference_mode():
        [alone] = zip(*[read_documents(model, task.encoder, [source], config) for source in sources], strict=True)
        for order, batch_tokens in product(([0, 1, 2, 3], [3, 1, 0, 2]), (1, 256, 10_000)):
            together = read_documents(model, task.encoder, [sources[index] for index in order], config, batch_tokens)
            for index, reading in zip(order, together, strict=True):
                assert reading.target.tolist() == alone[index].target.tolist()
                np.testing.assert_allclose(reading.probabilities, alone[index].probabilities, atol=1e-5)
                np.testing.assert_allclose(reading.label_logits, alone[index].label_logits, atol=1e-4)
                assert len(reading.label_logits) == len(sources[index].ids) - 2


def test_nothing_to_read(tiny_task: MakeTask) -> None:
    task = tiny_task()
    assert read_documents(make_model(task), task.encoder, [], DecodeConfig()) == []


def test_label_probabilities() -> None:
    logits = np.log([[0.5, 0.25, 0.125, 0.125]]).astype(np.float32)
    np.testing.assert_allclose(label_probabilities(logits, 0.0), [[0.5, 0.25, 0.125, 0.125]], rtol=1e-6)
    # Three times the weight for O: 1.5 of 1.5 + 0.5.
    np.testing.assert_allclose(label_probabilities(logits, np.log(3))[0], [0.75, 0.125, 0.0625, 0.0625], rtol=1e-6)
    assert logits[0, OUTSIDE] == np.float32(np.log(0.5))  # unchanged


def test_present_phrases() -> None:
    source = Source(
        ids=np.zeros(7, dtype=np.int32),
        spans=np.zeros((7, 2), dtype=np.int32),
        starts_word=np.array([False, True, True, False, True, True, False]),
    )
    probabilities = np.full((5, 4), 0.1)
    for token, (label, probability) in enumerate(
        [(BEGIN, 0.5), (INSIDE, 0.6), (PIECE, 0.7), (OUTSIDE, 0.9), (BEGIN, 0.8)]
    ):
        probabilities[token, label] = probability
    first, second = extract_phrases(probabilities, source)
    assert (first[:2], second[:2]) == ((0, 3), (4, 5))
    assert (first[2], second[2]) == pytest.approx(((0.5 + 0.6 + 0.7) / 3, 0.8))


@pytest.mark.parametrize("ended", [True, False])
def test_phrases_of_a_sequence_and_their_scores(ended: bool, tiny_task: MakeTask) -> None:
    encoder = tiny_task().encoder
    [delimiter] = encoder.delimiter_ids
    graph, sparse, theory = 50, 51, 52
    tokens = [graph, theory, delimiter, delimiter, sparse, delimiter, graph, encoder.sep_id]
    probabilities = [0.9, 0.6, 0.6, 0.8, 0.9, 0.8, 0.5, 0.1]
    cut = len(tokens) if ended else -1
    reading = Reading(np.zeros((0, 4)), np.array(tokens[:cut]), np.array(probabilities[:cut]))
    found = split_target(reading.target.tolist(), reading.probabilities, encoder.delimiter_ids, encoder.sep_id)
    first = (0.9 + 0.6 + 0.6) / 3
    expected = [
        ([graph, theory], first),
        ([sparse], first),  # not (0.9 + 0.8) / 2: scores never increase along the sequence
        ([graph], (0.5 + 0.1) / 2),
    ][: 3 if ended else 2]
    assert [ids for ids, _ in found] == [ids for ids, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])
