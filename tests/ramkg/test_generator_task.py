"""Training, validation and saving: a model that has memorized a few documents generates their phrases."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kpray.document import Document, Keyphrase, Record
from kpray.errors import UserError
from kpray.metrics.evaluate import evaluate
from kpray.metrics.protocols import get_protocol
from kpray.ramkg.config import GenerateConfig
from kpray.ramkg.generator import Generator, open_generator, target_logits
from kpray.ramkg.generator_task import GeneratorTask
from tests.ramkg.tiny_generator import KINDS, PASSAGES, RECORDS, make_task

Trained = tuple[GeneratorTask, torch.nn.Module]
OTHERS = [  # documents that the model has not learnt, that have no gold, or that it cannot read
    replace(RECORDS[0], document=Document("5", "Netze lernen", lang="de"), keyphrases=("Netze", "C++", "c")),
    replace(RECORDS[1], document=Document("6", "les graphes", lang="fr"), keyphrases=()),
    replace(RECORDS[1], document=Document("7", "les graphes", lang="fr"), english_ids=("nowhere",)),
    replace(RECORDS[1], document=Document("8", "half \ud800", lang="fr")),
    replace(RECORDS[1], document=Document("9", "les graphes", lang="fr"), keyphrases=("des graphes très longs " * 9,)),
]


def rows_of(task: GeneratorTask, records: list[Record] = RECORDS) -> list[Any]:
    rows = task.tokenize(records)
    assert all(isinstance(row, dict) for row in rows)
    return rows


def texts(task: GeneratorTask, ids: Any) -> list[str]:
    names: list[str] = task.mixer.tokenizer.convert_ids_to_tokens([int(id) for id in ids])
    return names


def test_training_reproduces_its_documents(trained_generator: Trained, tmp_path: Path) -> None:
    task, model = trained_generator
    validation = task.conclude(task.validate(model, RECORDS))
    assert validation.score == validation.metrics["f1@M"] == validation.metrics["recall@M fr"] == 100
    task.save(model, tmp_path, {})
    rows = [row["source"] for row in rows_of(task)]
    langs = [record.document.lang for record in RECORDS]
    generated = open_generator(str(tmp_path)).generate(rows, langs)  # with five beams
    for record, phrases in zip(RECORDS, generated, strict=True):
        assert tuple(text for text, _ in phrases) == record.keyphrases
        assert all(score > 0.8 for _, score in phrases)
    assert generated == Generator(model, task.mixer, GenerateConfig()).generate(rows, langs)


def test_rows(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    rows = rows_of(task)
    assert set(rows[0]) == set(task.schema().names)
    assert [row["lang"] for row in rows] == ["de", "fr", "zh_CN", "ko"]
    assert texts(task, [row["language"] for row in rows]) == ["de_DE", "fr_XX", "zh_CN", "ko_KR"]
    assert [row["length"] for row in rows] == [len(row["source"]) + len(row["target"]) for row in rows]
    hints = [texts(task, row["source"]) for row in rows]
    ctx = hints[1].index("[CTX]")  # keyphrases of e2, then those of e1 without the duplicate "Graph theory"
    assert hints[1][:ctx].count("[SEP]") == 2 + 2 - 1
    assert hints[1][ctx - 3 : ctx] == ["▁theory", "[SEP]", "▁networks"]
    assert texts(task, rows[3]["target"])[-1] == "</s>"

    fewer = rows_of(make_task(seq2seq["mbart25"], english, passages=1))
    assert "▁graph" not in texts(task, fewer[1]["source"])
    alone = rows_of(make_task(seq2seq["mbart25"], passages=0))
    assert {"[ENKPS]", "[CTX]"}.isdisjoint(texts(task, alone[1]["source"]))
    assert alone[0]["target"].tolist() == rows[0]["target"].tolist()


def test_reasons(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    rows = task.tokenize([RECORDS[0], *OTHERS, RECORDS[1]])
    assert [row for row in rows if isinstance(row, str)] == [
        "no gold keyphrase",
        "english_ids: there is no English passage 'nowhere'",
        "the text is not valid Unicode (a lone surrogate)",
        "no gold keyphrase has between 1 and 19 tokens",
    ]
    first, last = rows[0], rows[-1]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert (first["id"], last["id"]) == ("1", "2")
    with pytest.raises(UserError, match=r"a\.jsonl:4: the model has no token for the language 'pt'"):
        task.tokenize([replace(RECORDS[3], document=Document("1", "redes", lang="pt"))])


def test_gold_is_not_part_of_the_input(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    other = [replace(record, keyphrases=("tiefe Netze",), stemmed=("les",)) for record in RECORDS]
    for one, two in zip(rows_of(task), rows_of(task, other), strict=True):
        assert one["source"].tolist() == two["source"].tolist()
    # An English document gets no keyphrases, even if it is one of the English passages.
    id, text, phrases = PASSAGES[0]
    [row] = rows_of(task, [Record(Document(id, text, lang="en"), tuple(phrases))])
    assert texts(task, row["source"])[:2] == ["[ENKPS]", "[CTX]"]


def test_training_on_some_languages(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english, langs=["zh", "fr_FR"])
    rows = task.tokenize(RECORDS)
    assert [isinstance(row, dict) for row in rows] == [False, True, True, False]
    assert rows[0] == "the language 'de' is not in --langs"
    task.tokenize([replace(RECORDS[3], document=Document("1", "redes", lang="pt"))])  # then the language needs no token
    sums = task.validate(task.build(), RECORDS)
    assert (sums["documents"], sums["documents zh_CN"]) == (2, 1)
    assert "documents de" not in sums


@pytest.mark.parametrize("kind", KINDS)
def test_loss(seq2seq: dict[str, str], english: Path, kind: str) -> None:
    """The reference: one document and one token at a time."""
    task = make_task(seq2seq[kind], english)
    torch.manual_seed(2)
    model = task.build().eval()
    rows = rows_of(task)
    losses = task.losses(model, task.collate(rows, [0, 1, 2, 3]), 0.5)
    expected, tokens = 0.0, 0
    with torch.no_grad():
        for row in rows:
            decoded = list(task.mixer.frame(int(row["language"])).start)
            for token in row["target"].tolist():
                logits = model(
                    input_ids=torch.tensor([row["source"].tolist()]), decoder_input_ids=torch.tensor([decoded])
                ).logits[0, -1]
                expected -= logits.log_softmax(0)[token].item()
                decoded.append(token)
                tokens += 1
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["target_tokens"].item() == tokens
    assert losses["loss"].dtype == torch.float32
    parts = [task.losses(model, task.collate(part, [0] * len(part)), 0.5)["loss"] for part in (rows[:1], rows[1:])]
    assert sum(part.item() for part in parts) == pytest.approx(expected, rel=1e-5)
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for name, parameter in model.named_parameters())


def test_label_smoothing(seq2seq: dict[str, str], english: Path) -> None:
    """Each target token counts 1 - s, and each token of the vocabulary s / V."""
    plain, smooth = (make_task(seq2seq["mbart25"], english, label_smoothing=value) for value in (0.0, 0.2))
    model = plain.build()
    batch = plain.collate(rows_of(plain), [0] * len(RECORDS))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    log_probabilities = target_logits(model, batch["target_rows"], **inputs).log_softmax(dim=1)
    expected = 0.8 * plain.losses(model, batch, 0)["loss"] - 0.2 * log_probabilities.mean(dim=1).sum()
    assert smooth.losses(model, batch, 0)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert smooth.describe() != plain.describe()
    assert smooth.describe_tokens() == plain.describe_tokens()


def test_loss_is_float32_in_half_precision_models(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart50"], english)
    torch.manual_seed(2)
    model = task.build()
    batch = task.collate(rows_of(task), [0, 1, 2, 3])
    exact = task.losses(model, batch, 0.5)["loss"].item()
    loss = task.losses(model.to(torch.bfloat16), batch, 0.5)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.02)


def test_validation_agrees_with_an_evaluation(trained_generator: Trained) -> None:
    task, model = trained_generator
    records = [*RECORDS, *OTHERS]  # the model has memorized the first and errs on the others
    validation = task.conclude(task.validate(model, records))
    readable = [record for record, row in zip(records, task._sources(records), strict=True) if not isinstance(row, str)]
    sources = [row[0] for row in task._sources(readable) if not isinstance(row, str)]
    generated = Generator(model, task.mixer, GenerateConfig(beams=1)).generate(
        sources, [record.document.lang for record in readable]
    )
    predictions = {
        (record.document.lang, record.document.id): [Keyphrase(text, score, present=False) for text, score in phrases]
        for record, phrases in zip(readable, generated, strict=True)
    }
    report = evaluate(records, predictions, get_protocol("ramkg"))
    assert len(readable) == len(records) - 2
    for metric, value in validation.metrics.items():
        name, _, lang = metric.partition(" ")
        scores = report.languages[lang] if lang else report.scores
        assert value == pytest.approx(scores[name].mean)
    assert {"f1@M", "precision@M", "recall@M", "f1@M fr", "f1@M ko"} <= set(validation.metrics)
    assert 0 < validation.metrics["f1@M fr"] < 100
    assert validation.score == validation.metrics["f1@M"]
    assert validation.decisions == {}


def test_sums_of_validation_add_up_over_shares(trained_generator: Trained) -> None:
    task, model = trained_generator
    whole = task.validate(model, [*RECORDS, *OTHERS])
    shares = [task.validate(model, share) for share in (RECORDS[:1], [*RECORDS[1:], *OTHERS], [])]
    summed = {name: sum(share.get(name, 0) for share in shares) for name in whole}
    assert task.conclude(summed).metrics == pytest.approx(task.conclude(whole).metrics)
    assert task.conclude({}).score == 0


def test_validation_does_not_change_the_model(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    model: Any = task.build()
    model.config.dropout = model.model.encoder.dropout = model.model.decoder.dropout = 0.5
    model.train()
    assert task.validate(model, RECORDS) == task.validate(model, RECORDS)  # no dropout
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.lm_head._forward_pre_hooks


def test_a_trained_generator_can_be_a_backbone(trained_generator: Trained, english: Path, tmp_path: Path) -> None:
    task, model = trained_generator
    task.save(model, tmp_path, {})
    again = make_task(str(tmp_path), english)
    torch.manual_seed(99)  # no weight is random
    built = again.build()
    assert len(again.mixer) == len(task.mixer)
    for name, values in model.state_dict().items():
        assert torch.equal(built.state_dict()[name], values)
    assert again.conclude(again.validate(built, RECORDS)).score == 100


def test_task_can_be_pickled(trained_generator: Trained) -> None:
    task, _ = trained_generator
    task.tokenize(RECORDS)
    sent = pickle.loads(pickle.dumps(task))
    assert len(pickle.dumps(task)) < 10_000  # no tokenizer, no passages
    assert rows_of(sent)[1]["source"].tolist() == rows_of(task)[1]["source"].tolist()
    assert sent.describe() == task.describe()


def test_what_tokens_depend_on(seq2seq: dict[str, str], english: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    assert len(task.describe()["english"]) == 64
    assert task.describe_tokens() == make_task(seq2seq["mbart25"], english, beams=3).describe_tokens()
    for other in (
        make_task(seq2seq["mbart25"], english, langs=["fr"]),
        make_task(seq2seq["mbart25"], english, passages=1),
        make_task(seq2seq["mbart50"], english),
        make_task(seq2seq["mbart25"], passages=0),
    ):
        assert task.describe_tokens() != other.describe_tokens()
    without = make_task(seq2seq["mbart25"], passages=0)
    assert without.describe() == make_task(seq2seq["mbart25"], english, passages=0).describe()


def test_check_finds_mistakes_before_training(seq2seq: dict[str, str], english: Path, tmp_path: Path) -> None:
    task = make_task(seq2seq["mbart25"], english)
    task.check([*RECORDS, OTHERS[1]])
    with pytest.raises(UserError, match=r"a\.jsonl:2: english_ids: there is no English passage 'nowhere'"):
        task.check(OTHERS)
    with pytest.raises(UserError, match=r"a\.jsonl:4: the model has no token for the language 'pt'"):
        task.check([*RECORDS, replace(RECORDS[3], document=Document("1", "redes", lang="pt"))])
    with pytest.raises(
        UserError,
        match=r"^--valid a\.jsonl: none of the 1 validation documents has keyphrases \(give files with a field `keyph",
    ):
        task.check([OTHERS[1]])
    with pytest.raises(
        UserError, match=r"^--valid .*: none of the \d+ validation documents is in a language of --langs"
    ):
        make_task(seq2seq["mbart25"], english, langs=["it"]).check(RECORDS)
    with pytest.raises(UserError, match="there are no English passages"):
        make_task(seq2seq["mbart25"]).check(RECORDS)
    make_task(seq2seq["mbart25"], passages=0).check(RECORDS)

    from kpray.corpus.store import build_store

    file = tmp_path / "bare.jsonl"
    file.write_text('{"id": "e1", "text": "no phrases"}\n{"id": "e2", "text": "nor here"}\n', encoding="utf-8")
    bare = build_store([str(file)], tmp_path / "bare").folder
    with pytest.raises(UserError, match="none of the 2 checked English passages has keyphrases"):
        make_task(seq2seq["mbart25"], bare).check(RECORDS)
