"""Training, validation and saving fit together: a model that has learnt a few documents gives back their phrases."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import kpray
from kpray.document import Document, Record
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.registry import open_predictor
from kpray.text.stems import contains_phrase, stem_phrase, stemmed_words
from kpray.unikeyphrase.config import DecodeConfig, LossConfig, TaskConfig
from kpray.unikeyphrase.model import UniKeyphraseModel
from kpray.unikeyphrase.task import METRICS, OUTSIDE_BIASES, UniKeyphraseTask
from tests.unikeyphrase.conftest import MakeTask
from tests.unikeyphrase.tiny_model import RECORDS, learn_by_heart, make_model, make_task

Trained = tuple[UniKeyphraseTask, UniKeyphraseModel]
OTHERS = [
    Record(Document("5", "Graphs and graph theory."), ("graph theory", "sparse graphs")),
    Record(Document("6", "No gold here.")),
    Record(Document("7", ""), ("empty",)),
    Record(Document("8", "half a character \ud800"), ("character",)),
    Record(Document("9", " ".join(record.document.text for record in RECORDS)), ("convex bounds", "many words")),
]


def stems(phrases: tuple[str, ...]) -> set[str]:
    return {stem_phrase(phrase) for phrase in phrases}


def test_training_reproduces_its_documents(saved: Path) -> None:
    predicted = open_predictor(str(saved)).predict([record.document for record in RECORDS])
    for record, keyphrases in zip(RECORDS, predicted, strict=True):
        assert stems(tuple(keyphrase.text for keyphrase in keyphrases)) == stems(record.keyphrases)
        for keyphrase in keyphrases:
            words = stemmed_words(record.document.text)
            assert keyphrase.present == contains_phrase(words, stemmed_words(keyphrase.text))
            assert keyphrase.score > 0.8
    assert [keyphrase.text for keyphrase in predicted[3]] == [
        "Bilingual corpora",
        "machine translation",
        "low-resource languages",
    ]
    assert predicted[0][0].text in ("Sparse graphs", "large networks")  # as it first stands there


def test_generation_only(backbone: str, tmp_path: Path) -> None:
    """The generative baseline of Table 5 learns its documents too, and validation is what the saved predictor gives."""
    task, model = learn_by_heart(backbone, target="all", extraction=False, relation_layers=0)
    validation = task.conclude(task.validate(model.train(False), RECORDS))
    assert validation.score == 100
    assert validation.decisions == {"outside_bias": 0}  # there is nothing to tune
    task.save(model, tmp_path, validation.decisions)
    documents = [record.document for record in RECORDS]
    for record, explanation in zip(
        RECORDS, open_predictor(str(tmp_path)).predict(documents, explain=True), strict=True
    ):
        assert stems(tuple(one.text for one in explanation.keyphrases)) == stems(record.keyphrases)
        words = stemmed_words(record.document.text)
        for one in explanation.keyphrases:
            assert one.present == contains_phrase(words, stemmed_words(one.text))
        assert not explanation.scores.any()


def test_a_model_that_does_not_extract_must_generate_all(backbone: str) -> None:
    with pytest.raises(ValueError, match="generate the present phrases too"):
        make_task(backbone, extraction=False)


def test_validation_of_a_perfect_model(trained: Trained) -> None:
    task, model = trained
    validation = task.conclude(task.validate(model, RECORDS))
    assert validation.score == 100
    assert validation.metrics["present_f1@M"] == validation.metrics["absent_f1@M"] == 100
    assert (validation.metrics["#PK"], validation.metrics["#AK"]) == ((2 + 2 + 2 + 1) / 4, (1 + 2 + 0 + 2) / 4)
    assert validation.decisions == {"outside_bias": 0.0}  # of equally good ones the smallest
    assert validation.metrics["outside_bias"] == 0


def test_validation_is_an_evaluation_of_the_saved_predictor(trained: Trained, tmp_path: Path) -> None:
    decode = DecodeConfig(
        beams=2,
        length_penalty=0.5,
        empty=False,
        windows=3,
        alternatives=0.01,
        generation_weight=0.5,
        min_score=0.2,
    )
    task = UniKeyphraseTask(TaskConfig(model=trained[0].config.model, decode=decode))
    model = trained[1]
    records = [*RECORDS, *OTHERS]  # it knows the first, and errs on the others
    validation = task.conclude(task.validate(model, records))
    task.save(model, tmp_path, validation.decisions)
    predictor = open_predictor(str(tmp_path), {"decode": {"beams": 2}})
    assert predictor.describe()["config"]["decode"] == {**decode.model_dump(), **validation.decisions}
    readable = [record.document for record in records if record.document.id != "8"]
    predictions = {
        ("en", document.id): keyphrases
        for document, keyphrases in zip(readable, predictor.predict(readable, top=50), strict=True)
    }
    report = evaluate(records, predictions, get_protocol("meng"))
    expected = {metric: report.scores[metric].mean for metric in METRICS}
    assert validation.metrics == pytest.approx({**expected, **validation.decisions})
    assert 0 < validation.metrics["present_f1@M"] < 100
    assert 0 < validation.metrics["absent_f1@M"] < 100


def test_validation_sums_over_shares(tiny_task: MakeTask) -> None:
    task = tiny_task()
    model = make_model(task)
    whole = task.validate(model, [*RECORDS, *OTHERS])
    shares = [task.validate(model, share) for share in (RECORDS[:1], [*RECORDS[1:], *OTHERS], [])]
    summed = {name: sum(share.get(name, 0) for share in shares) for name in whole}
    assert task.conclude(summed).metrics == pytest.approx(task.conclude(whole).metrics)
    assert task.conclude(summed).decisions == task.conclude(whole).decisions


def test_validation_leaves_the_model_as_it_was(tiny_task: MakeTask) -> None:
    task = tiny_task(relation_dropout=0.5)
    model = make_model(task).train()
    assert task.validate(model, RECORDS) == task.validate(model, RECORDS)  # no dropout
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_validation_without_documents(tiny_task: MakeTask) -> None:
    validation = tiny_task().conclude({})
    assert (validation.score, validation.decisions) == (0, {"outside_bias": 0})


def test_bias_with_the_best_present_phrases_is_chosen(tiny_task: MakeTask) -> None:
    sums = {"total": 2.0, "present": 2.0, "absent": 1.0}
    for bias in OUTSIDE_BIASES:
        sums[f"present_f1@M {bias:g}"] = 1.5 if bias in (-0.5, 1.25) else 1.0
        sums[f"total_f1@M {bias:g}"] = 1.0 + bias / 100
        sums[f"absent_f1@M {bias:g}"] = 0.5
        sums[f"#PK {bias:g}"] = 5.0
    validation = tiny_task().conclude(sums)
    assert validation.decisions == {"outside_bias": -0.5}
    assert validation.score == validation.metrics["total_f1@M"] == pytest.approx(100 * (1 - 0.005) / 2)
    assert validation.metrics["present_f1@M"] == 100 * 1.5 / 2
    assert validation.metrics["absent_f1@M"] == 100 * 0.5 / 1
    assert validation.metrics["#PK"] == 5 / 2


def test_bias_set_by_hand_is_not_tuned(trained: Trained) -> None:
    task, model = trained
    config = TaskConfig(model=task.config.model, decode=DecodeConfig(beams=1, outside_bias=99), tune_outside_bias=False)
    by_hand = UniKeyphraseTask(config)
    sums = by_hand.validate(model, RECORDS)
    assert {name.split()[1] for name in sums if " " in name} == {"99"}
    validation = by_hand.conclude(sums)
    assert validation.decisions == {"outside_bias": 99}
    assert validation.metrics["#PK"] == 0  # with this bias no token has a label
    assert validation.score < 100


def test_a_bias_that_tuning_would_replace_is_refused(backbone: str) -> None:
    with pytest.raises(ValueError, match="set tune_outside_bias to false"):
        TaskConfig(model=make_task(backbone).config.model, decode=DecodeConfig(outside_bias=1))


def test_the_configuration_of_the_paper_names_its_readings() -> None:
    text = (Path(kpray.__file__).parent / "configurations" / "paper.yaml").read_text("utf-8")
    named = yaml.safe_load(text)["task"]
    config = TaskConfig.model_validate(named)
    assert named["model"]["label_match"] == config.model.label_match == "exact"
    assert named["model"]["target"] == config.model.target == "absent"
    assert named["model"]["copying"] is config.model.copying is False
    assert named["loss"]["reduction"] == config.loss.reduction == "sum"
    assert named["loss"]["bow_rows"] == config.loss.bow_rows == "masked"
    assert named["loss"]["masking"] == config.loss.masking == "mask"
    assert named["tune_outside_bias"] is config.tune_outside_bias is False
    assert config.decode.outside_bias == 0
    assert UniKeyphraseTask(config).conclude({"total": 1.0}).decisions == {"outside_bias": 0}


@pytest.mark.parametrize("masking", ["mask", "bert"])
def test_masking_of_the_task(backbone: str, masking: Any) -> None:
    config = TaskConfig(model=make_task(backbone).config.model, loss=LossConfig(masking=masking, mask_probability=1))
    task = UniKeyphraseTask(config)
    rows: list[Any] = task.tokenize(RECORDS)
    batch = task.collate(rows * 20, range(20 * len(rows)))
    seen = batch["input_ids"].flatten()[batch["target_rows"]]
    assert bool((seen == task.encoder.mask_id).all()) == (masking == "mask")
    assert bool((seen == batch["target_ids"]).any()) == (masking == "bert")


def test_masked_or_all_target_tokens_in_the_constraint(backbone: str) -> None:
    """The option changes the constraint alone, because the other losses never count the unmasked tokens."""
    found = {}
    for rows in ("masked", "all"):
        config = make_task(backbone).config
        task = UniKeyphraseTask(config.model_copy(update={"loss": LossConfig(bow_rows=rows, mask_probability=0.5)}))
        tokenized: list[Any] = task.tokenize(RECORDS)
        batch = task.collate(tokenized, range(len(tokenized)))
        assert bool(batch["target_masked"].all()) == (rows == "masked")
        found[rows] = task.losses(make_model(task), batch, 0.5)
    for part in ("extraction", "generation", "bow_weight"):
        assert float(found["masked"][part]) == pytest.approx(float(found["all"][part]), rel=1e-6)
    assert abs(float(found["masked"]["bag_of_words"] - found["all"]["bag_of_words"])) > 1e-3


def test_task_can_be_sent_to_workers(trained: Trained) -> None:
    task, _ = trained
    sent = pickle.loads(pickle.dumps(task))
    assert len(pickle.dumps(task)) < 10_000  # no tokenizer within
    rows: list[Any] = task.tokenize(RECORDS)
    assert sent.tokenize(RECORDS)[0]["target"].tolist() == rows[0]["target"].tolist()
    assert task.tokenize(OTHERS)[1] == "no gold keyphrase"
    assert set(rows[0]) == set(task.schema().names)


def test_wrapped_model(trained: Trained) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, **inputs: torch.Tensor) -> Any:
            return self.module(**inputs)

    task, model = trained
    wrapped = Wrapped(Wrapped(model))
    assert task.validate(wrapped, RECORDS[:1]) == task.validate(model, RECORDS[:1])
    rows: list[Any] = task.tokenize(RECORDS[:2])
    batch = task.collate(rows, [0, 1])
    assert task.losses(wrapped, batch, 0.5)["loss"].item() == task.losses(model, batch, 0.5)["loss"].item()


def test_saved_folder_says_how_it_was_trained(saved: Path) -> None:
    contents = json.loads((saved / "kpray.json").read_text("utf-8"))
    assert contents["kind"] == "unikeyphrase"
    assert contents["config"]["decode"] == {
        "beams": 5,
        "length_penalty": 0,
        "empty": True,
        "alternatives": 1.0,
        "generation_weight": 0.0,
        "min_score": 0.0,
        "outside_bias": 0.25,
        "windows": 8,
    }
    assert contents["training"]["decisions"] == {"outside_bias": 0.25}
    assert contents["training"]["task"]["loss"]["positive_weight"] == 5
    assert {"model", "weights"}.isdisjoint(contents["config"])  # the folder may be moved
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "kpray.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
