"""Absent phrases as a set: slots do not see each other, and the order of the phrases has no effect."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kpray.document import Document, Record
from kpray.registry import open_predictor
from kpray.text.stems import stem_phrase
from kpray.unikeyphrase.backbone import slot_positions, unilm_mask
from kpray.unikeyphrase.config import LossConfig, ModelConfig, PretrainConfig, TaskConfig, UniKeyphraseConfig
from kpray.unikeyphrase.inputs import Encoder
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.predictor import UniKeyphrase
from kpray.unikeyphrase.pretrain import PretrainTask
from kpray.unikeyphrase.representations import task_representations
from kpray.unikeyphrase.slots import assign_slots, read_slots, slot_columns
from kpray.unikeyphrase.task import UniKeyphraseTask
from tests.unikeyphrase.conftest import MakeTask
from tests.unikeyphrase.random_model import DELIMITER_ID, MASK_ID, VOCABULARY, build_batch, build_model
from tests.unikeyphrase.tiny_model import RECORDS, SOURCE_TOKENS, TARGET_TOKENS, make_model

SLOTS, END = 4, 3
Trained = tuple[UniKeyphraseTask, UniKeyphraseModel]


def test_mask_and_positions_agree_with_the_rule() -> None:
    sources, slots = [3, 1], [[-1, -1, -1, 2, 2, 0, 1], [-1, 1, 0, 0, 0, -1, -1]]
    lengths = torch.tensor([7, 5])
    mask = unilm_mask(torch.tensor(sources), lengths, 7, torch.tensor(slots))
    positions = slot_positions(torch.tensor(sources), torch.tensor(slots))
    for b, source in enumerate(sources):
        for query in range(7):
            for key in range(7):
                same = slots[b][query] == slots[b][key]
                wanted = key < source or (query >= source and key <= query and key < lengths[b] and same)
                assert bool(mask[b, 0, query, key]) == wanted
    assert positions.tolist() == [[0, 1, 2, 3, 4, 3, 3], [0, 1, 1, 2, 3, 5, 6]]


@torch.no_grad()
def test_each_slot_is_computed_as_if_it_were_alone() -> None:
    model = build_model(target="set", slots=SLOTS)
    batch = build_batch([6], [5])
    slots = torch.tensor([[-1] * 6 + [2, 2, 2, 0, 0]])
    rows = [batch[name] for name in ("input_ids", "source_lengths", "lengths", "target_rows")]
    together = model(*rows, slots).token_logits
    for first, end in ((6, 9), (9, 11)):
        ids = torch.cat([rows[0][:, :6], rows[0][:, first:end]], dim=1)
        alone = torch.cat([slots[:, :6], slots[:, first:end]], dim=1)
        target = torch.arange(6, ids.shape[1])
        found = model(ids, rows[1], torch.tensor([ids.shape[1]]), target, alone).token_logits
        torch.testing.assert_close(found, together[first - 6 : end - 6], atol=1e-5, rtol=0)
    other = torch.where(slots == 2, 3, slots)  # another code
    assert not torch.allclose(model(*rows, other).token_logits[:3], together[:3], atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("copying", [False, True])
def test_a_cached_step_agrees_with_a_full_pass(copying: bool) -> None:
    """Step by step, every slot gives the log-probabilities of a forward pass with all slots in one sequence."""
    model = build_model(target="set", slots=SLOTS, copying=copying)
    torch.manual_seed(0)
    source_lengths = torch.tensor([7, 4, 1])
    sources = torch.randint(DELIMITER_ID, VOCABULARY, (3, 7))
    chosen = torch.randint(DELIMITER_ID, VOCABULARY, (3, SLOTS, 3))
    _, source = model.encode_source(sources, source_lengths)
    emitted, tokens = model.start(source), None
    for step in range(3):
        scores, emitted = model.decode_step(source, emitted, tokens, MASK_ID)
        for b, length in enumerate(source_lengths.tolist()):
            masks = torch.full((SLOTS, 1), MASK_ID)
            target = torch.cat([chosen[b, :, :step], masks], dim=1)
            ids = torch.cat([sources[b, :length], target.flatten()])[None]
            slots = torch.cat([torch.full((length,), -1), torch.arange(SLOTS).repeat_interleave(step + 1)])[None]
            ends = length + step + torch.arange(SLOTS) * (step + 1)
            output = model(ids, source_lengths[b : b + 1], torch.tensor([ids.shape[1]]), ends, slots)
            torch.testing.assert_close(scores[b], output.token_logits.log_softmax(1), atol=1e-5, rtol=0)
        tokens = chosen[:, :, step]


def test_targets_of_slots(backbone: str) -> None:
    encoder = Encoder(backbone)
    end = encoder.sep_id
    first, second = (encoder.encode_target([phrase], 16).tolist() for phrase in ("graph theory", "language models"))
    assert encoder.encode_set(["graph theory", "language models"], 16, 3).tolist() == [*first, *second, end]
    assert encoder.encode_set(["graph theory", "language models"], 16, 1).tolist() == first
    assert encoder.encode_set(["graph theory " * 9, "language models"], 16, 2).tolist() == [*second, end]
    assert encoder.encode_set(["language models"], len(second), 1).tolist() == second
    assert encoder.encode_set(["language models"], len(second) - 1, 1).tolist() == [end]


def test_columns_by_hand() -> None:
    rows = [{"target": np.array([11, 12, 13, END, 14, END, END])}, {"target": np.array([END, END, END])}]
    batch = {
        "input_ids": torch.zeros(2, 9, dtype=torch.int64),
        "source_lengths": torch.tensor([2, 4]),
        "lengths": torch.tensor([9, 7]),
        "target_rows": torch.tensor([3, 7, 8, 9 + 4, 9 + 6]),  # masked
    }
    found = slot_columns(rows, batch, 3, END)
    assert found["phrases"].tolist() == [[-1, -1, 0, 0, 0, 0, 1, 1, 2], [-1] * 4 + [0, 1, 2] + [-1] * 2]
    assert found["phrase_starts"].tolist() == [[[11, 12], [14, END], [-1, -1]], [[-1, -1]] * 3]
    assert found["target_null"].tolist() == [False, False, True, True, True]


def set_batch(seed: int = 0) -> dict[str, Tensor]:
    """Random phrases of two documents, each token masked."""
    generator = np.random.default_rng(seed)
    rows = []
    for phrases in ([3, 1, 2, 0], [0, 2, 0, 0]):
        target = [token for length in phrases for token in (*generator.integers(5, VOCABULARY, length), END)]
        rows.append({"source": generator.integers(5, VOCABULARY, 8), "target": np.array(target)})
    sources = [len(row["source"]) for row in rows]
    batch = build_batch(sources, [len(row["target"]) for row in rows])
    return {**batch, **slot_columns(rows, batch, SLOTS, END)}


@torch.no_grad()
def generate(model: UniKeyphraseModel, source: list[int], slot: int, steps: int) -> list[Tensor]:
    """Log-probabilities [V] of each step of a slot that takes the best tokens, by full passes over this slot alone."""
    ids, found = list(source), []
    for step in range(steps):
        length = torch.tensor([len(ids) + 1])
        slots = torch.tensor([[-1] * len(source) + [slot] * (step + 1)])
        output = model(torch.tensor([[*ids, MASK_ID]]), torch.tensor([len(source)]), length, length - 1, slots)
        found.append(output.token_logits.log_softmax(1)[0])
        ids.append(int(found[-1].argmax()))
    return found


def test_assignment_has_the_highest_sum_of_probabilities() -> None:
    model = build_model(target="set", slots=SLOTS).train()
    batch = set_batch()
    found = assign_slots(model, batch, MASK_ID)
    assert model.training
    assert torch.equal(found < 0, batch["phrases"] < 0)
    model.eval()
    for b, starts in enumerate(batch["phrase_starts"].tolist()):
        source = batch["input_ids"][b, : int(batch["source_lengths"][b])].tolist()
        steps = [generate(model, source, slot, 2) for slot in range(SLOTS)]

        def gain(slots: tuple[int, ...], starts: list[list[int]] = starts, steps: list[list[Tensor]] = steps) -> float:
            pairs = [zip(steps[slot], start, strict=True) for slot, start in zip(slots, starts, strict=True)]
            return sum(float(scores[token].exp()) for pair in pairs for scores, token in pair if token >= 0)

        slot_of = dict(zip(batch["phrases"][b].tolist(), found[b].tolist(), strict=True))
        assert sorted(slot_of.values()) == list(range(-1, SLOTS))
        gains = sorted({round(gain(slots), 6) for slots in permutations(range(SLOTS))})
        assert gain(tuple(slot_of[phrase] for phrase in range(SLOTS))) == pytest.approx(gains[-1], abs=2e-6)
        assert gains[-1] > gains[0] + 1e-3


def make_set_task(backbone: str, **loss: Any) -> UniKeyphraseTask:
    model = ModelConfig(
        backbone=backbone,
        target="set",
        slots=SLOTS,
        source_tokens=SOURCE_TOKENS,
        target_tokens=TARGET_TOKENS,
        relation_dropout=0,
        dropout=0,
        attention_dropout=0,
    )
    return UniKeyphraseTask(TaskConfig(model=model, loss=LossConfig(**loss)))


def reordered(record: Record, seed: int) -> Record:
    order = np.random.default_rng(seed).permutation(len(record.keyphrases))
    return Record(record.document, tuple(record.keyphrases[index] for index in order))


def test_the_order_of_the_phrases_does_not_change_the_loss(backbone: str) -> None:
    task = make_set_task(backbone, mask_probability=1.0)
    model = make_model(task)
    phrases = ("machine translation", "low-resource languages", "graph theory")
    orders = [Record(RECORDS[3].document, order) for order in permutations(phrases)]
    found = []
    for record in orders:
        rows: Any = task.tokenize([record])
        found.append(float(task.losses(model, task.collate(rows, [0]), 0.5)["loss"].detach()))
    np.testing.assert_allclose(found, found[0], rtol=1e-5)
    rows = task.tokenize(orders[:1])
    batch = task.collate(rows, [0])
    inputs = [batch[name] for name in ("input_ids", "source_lengths", "lengths", "target_rows")]
    slots = batch["phrases"]
    others = torch.where(slots >= 0, SLOTS - 1 - slots, -1)  # without the assignment the order would matter
    assert not torch.allclose(model(*inputs, slots).token_logits, model(*inputs, others).token_logits, atol=1e-2)


def test_weight_of_empty_phrases(backbone: str) -> None:
    """A document without absent phrases has only empty ones, so the sum of its losses is proportional to the weight."""
    losses = {}
    for reduction in ("sum", "mean"):
        for weight in (0.1, 1.0):
            task = make_set_task(backbone, null_weight=weight, mask_probability=1.0, reduction=reduction)
            rows: Any = task.tokenize(RECORDS[2:3])
            losses[reduction, weight] = float(task.losses(make_model(task), task.collate(rows, [0]), 0.0)["generation"])
    assert losses["sum", 0.1] == pytest.approx(0.1 * losses["sum", 1.0])
    assert losses["mean", 0.1] == pytest.approx(losses["mean", 1.0])
    assert losses["sum", 1.0] == pytest.approx(SLOTS * losses["mean", 1.0])


@pytest.mark.parametrize("bfloat16", [False, True])
def test_every_weight_gets_a_gradient(bfloat16: bool, backbone: str) -> None:
    """Also after an assignment under autocast, which must leave no half-precision weights without gradients."""
    task = make_set_task(backbone)
    model = make_model(task).train()
    rows: Any = task.tokenize(RECORDS)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        loss = task.losses(model, task.collate(rows, range(len(rows))), 0.5)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("key.bias"), name  # a softmax ignores the bias of keys


@pytest.fixture(scope="module")
def learnt(backbone: str) -> Trained:
    """A model that has seen the phrases of each document in another order at each step."""
    task = make_set_task(backbone)
    torch.manual_seed(1)
    model = task.build()
    assert isinstance(model, UniKeyphraseModel)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    steps = 300
    for step in range(steps):
        rows: Any = task.tokenize([reordered(record, step) for record in RECORDS])
        loss = task.losses(model, task.collate(rows, range(step * 4, step * 4 + 4)), step / steps)["loss"]
        optimizer.zero_grad()
        (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return task, model.eval()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def folder(learnt: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = tmp_path_factory.mktemp("set")
    learnt[0].save(learnt[1], saved, {"outside_bias": 0.0})
    return saved


@pytest.mark.slow
def test_absent_phrases_are_learnt_in_any_order(learnt: Trained, folder: Path) -> None:
    predicted = open_predictor(str(folder)).predict([record.document for record in RECORDS])
    for record, keyphrases in zip(RECORDS, predicted, strict=True):
        found = [stem_phrase(one.text) for one in keyphrases]
        assert sorted(found) == sorted(map(stem_phrase, record.keyphrases))  # each once
        assert all(one.score > 0.8 for one in keyphrases)
    absent = {one.text for one in predicted[3] if not one.present}
    assert absent == {"machine translation", "low-resource languages"}
    task, model = learnt
    assert task.conclude(task.validate(model, RECORDS)).score == 100


def test_batches_do_not_matter(folder: Path) -> None:
    """The other documents are new to the model, so their slots give phrases of many lengths, or do not end."""
    others = [Document(str(n), " ".join(RECORDS[n % 4].document.text.split()[: 2 + n])) for n in range(9)]
    documents = [*(record.document for record in RECORDS), *others]
    predictor = open_predictor(str(folder))
    alone = [predictor.predict([document])[0] for document in documents]
    for batch_tokens in (1, 200, 10_000):
        together = open_predictor(str(folder), {"batch_tokens": batch_tokens}).predict(documents)
        for one, other in zip(alone, together, strict=True):
            assert [phrase.text for phrase in one] == [phrase.text for phrase in other]
            assert [phrase.score for phrase in one] == pytest.approx([phrase.score for phrase in other], abs=1e-4)


@torch.no_grad()
def test_phrases_are_scored_by_their_mean_log_probability() -> None:
    """Compared with a greedy loop over each slot alone of a model that ends some phrases in time."""
    model = build_model(target="set", slots=8, target_tokens=6)
    model.cls.predictions.bias[END] += 2
    torch.manual_seed(3)
    lengths, ids = torch.tensor([9, 5, 7]), torch.randint(DELIMITER_ID, VOCABULARY, (3, 9))
    _, source = model.encode_source(ids, lengths)
    found = read_slots(model, source, mask_id=MASK_ID, end_id=END)
    kinds = set()
    for b, length in enumerate(lengths.tolist()):
        wanted = []
        for slot in range(8):
            best = [scores.max(0) for scores in generate(model, ids[b, :length].tolist(), slot, 6)]
            tokens = [int(one.indices) for one in best]
            stop = tokens.index(END) + 1 if END in tokens else 0
            kinds.add({0: "cut", 1: "empty"}.get(stop, "phrase"))
            if stop > 1:
                mean = np.mean([float(one.values) for one in best[:stop]])
                wanted.append((float(np.exp(mean)), slot, tokens[:stop]))
        wanted.sort(key=lambda one: -one[0])
        target, scores, slots = found[b]
        assert target.tolist() == [token for *_, phrase in wanted for token in phrase]
        assert slots.tolist() == [slot for _, slot, phrase in wanted for _ in phrase]
        np.testing.assert_allclose(scores, [score for score, _, phrase in wanted for _ in phrase], rtol=1e-4)
    assert kinds == {"cut", "empty", "phrase"}


def test_representations_of_slots(folder: Path) -> None:
    """The vectors of the target are those of the slots: the LM head gives back the phrases from the rows before."""
    predictor = UniKeyphrase(UniKeyphraseConfig(model=str(folder)))
    _, generation = task_representations(predictor, [RECORDS[3].document])
    target = predictor.encoder.encode_set(["machine translation", "low-resource languages"], 16, 2)
    assert len(generation) == len(target)
    _, nothing = task_representations(predictor, [RECORDS[2].document])
    assert len(nothing) == 0


def test_a_set_needs_the_mask_of_the_backbone(tiny_task: MakeTask) -> None:
    with pytest.raises(ValueError, match="needs the cache of decoding"):
        tiny_task(target="set", relation_mask="none")


def test_pretraining_before_slots(backbone: str) -> None:
    """It reads the rows of the training, but its titles are sequences, so every weight of its model gets a gradient."""
    training = make_set_task(backbone)
    task = PretrainTask(training.config.model, PretrainConfig())
    assert task.describe_tokens() == training.describe_tokens()
    model = task.build()
    rows: Any = task.tokenize(RECORDS)
    task.losses(model, task.collate(rows, range(len(rows))), 0.0)["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())
