"""The parts and the backbone of the benchmark on real text."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.real_rgit import _make_parts, _pretrain, _read, _run_row, _train_alone, hint_scores
from benchmarks.real_rgit_parts import (
    sentence_rows,
    split_languages,
    split_pairs,
    write_backbone,
)
from benchmarks.settings import RealBackbone, RealRGITSettings, RealSplit
from kpray.cluster.step_cache import Step
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.ramkg.codemix import load_mixer
from kpray.ramkg.config import GenerateConfig, GeneratorConfig
from kpray.ramkg.generator import open_generator
from kpray.rgit.corpora import write_documents
from kpray.rgit.steps import RGITSteps
from kpray.training import OptimConfig, RunConfig

WORDS = {
    "fr": "graphe arbre langue corpus phrase règle analyse lexique verbe sens mot texte".split(),
    "en": "graph tree language corpus sentence rule parsing lexicon verb sense word text".split(),
    "zh": list("图树语言句法词义文本分析"),
}
SMALL = RealBackbone(vocabulary=160, layers=1, hidden=16, heads=2, documents=6, sentences=2)


def make_records(lang: str, count: int) -> list[Record]:
    """Documents of random words; those with the same number are translations of each other."""
    space, end = ("", "。") if lang == "zh" else (" ", ". ")
    records = []
    for number in range(count):
        rows = [Random(number * 10 + sentence).choices(range(12), k=9) for sentence in range(3)]
        body = "".join(space.join(WORDS[lang][row] for row in sentence).capitalize() + end for sentence in rows)
        keyphrases = tuple(dict.fromkeys(WORDS[lang][row] for row in rows[0][:3]))
        records.append(Record(Document(f"doc-{number}", body, f"Titre {number}", lang), keyphrases))
    return records


def test_only_english_ids_lead_to_the_translation() -> None:
    foreign, english = make_records("fr", 12), make_records("en", 10)
    parts = split_pairs(foreign, english, RealSplit(given=3, valid=2, test=3))
    assert {name: len(records) for name, records in parts.items()} == {
        **{"english": 10, "parallel": 3, "valid": 2, "test": 3},
        **{"passages": 4, "answers": 5},  # two passages have no translation
    }
    bodies = {record.document.id: record.document.body for record in parts["english"]}
    assert bodies.keys().isdisjoint(record.document.id for record in foreign)
    assert not any(record.document.title for record in parts["english"])
    assert not any(record.english_ids for record in [*parts["test"], *parts["passages"]])
    english_body = {record.document.id: record.document.body for record in english}
    for record in [*parts["parallel"], *parts["valid"], *parts["answers"]]:
        assert bodies[record.english_ids[0]] == english_body[record.document.id]
    ids = [record.document.id for name in ("parallel", "valid", "test", "passages") for record in parts[name]]
    assert sorted(ids) == sorted(record.document.id for record in foreign)
    assert parts != split_pairs(foreign, english, RealSplit(given=3, valid=2, test=3, seed=1))


def test_too_few_pairs() -> None:
    with pytest.raises(UserError, match="the files have 10 pairs, and 10 are needed"):
        split_pairs(make_records("fr", 12), make_records("en", 10), RealSplit(given=5, valid=2, test=3))


def test_each_language_is_divided() -> None:
    parts = split_languages([*make_records("zh", 24), *make_records("fr", 12)], seed=0)
    found = {name: [record.document.lang for record in records] for name, records in parts.items()}
    assert {name: (langs.count("zh"), langs.count("fr")) for name, langs in found.items()} == {
        **{"test": (6, 3), "valid": (2, 1), "train": (16, 8)},
    }


def test_sentences_have_gaps() -> None:
    records = [*make_records("fr", 20), *make_records("zh", 20)]
    rows = list(sentence_rows(records, sentences=2, seed=0))
    assert len(rows) == 2 * len(records)
    by_id = {(record.document.id, record.document.lang): record.document.body for record in records}
    assert sum("_" in row.document.body for row in rows) > len(rows) / 2
    for row in rows:
        [target] = row.keyphrases
        assert target in by_id[row.document.id.split("#")[0], row.document.lang]
        assert len(row.document.body) <= len(target)
    assert rows == list(sentence_rows(records, sentences=2, seed=0))


def test_backbone_has_a_tokenizer_for_each_language(tmp_path: Path) -> None:
    records = [record for lang in WORDS for record in make_records(lang, 12)]
    write_backbone([record.document.text for record in records], SMALL, 40, tmp_path)
    mixer = load_mixer(GeneratorConfig(backbone=str(tmp_path), source_tokens=40, keyphrase_tokens=8, target_tokens=30))
    assert len({mixer.language(lang) for lang in ("en", "fr", "zh", "ko")}) == 4
    french = mixer.language("fr")
    assert mixer.frame(french).suffix == (mixer.marks.end, french)
    assert mixer.frame(french).start == (french,)
    for phrase in ("règle langue", "语言句法", "graph tree"):
        [target] = mixer.targets([[phrase]])
        assert not isinstance(target, str)
        assert mixer.decode(target.tolist()) == phrase


def test_pretraining_gives_a_backbone(tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    for name, lang in (("foreign", "fr"), ("english", "en"), ("others", "zh")):
        write_documents(make_records(lang, 16), tmp_path / f"{name}.jsonl")
        files[name] = (str(tmp_path / f"{name}.jsonl"),)
    job = RealRGITSettings(
        **files,
        pretrain=files["english"],
        output=tmp_path / "real",
        split=RealSplit(given=4, valid=3, test=3),
        backbone=SMALL,
        generator=GeneratorConfig(source_tokens=40, keyphrase_tokens=8, target_tokens=30),
        pretraining=OptimConfig(lr=1e-3, epochs=1, batch=16),
        run=RunConfig(zero=0, validate_every=1000),
    )
    steps = RGITSteps(tmp_path / "steps")
    parts = _make_parts(steps, job)
    backbone = _pretrain(steps, job, parts)
    assert open_generator(str(backbone.folder / "best"), GenerateConfig(beams=1))
    assert _pretrain(steps, job, parts).reused
    alone = _train_alone(steps, job, parts, backbone.folder / "best", 0).outcome["scores"]
    assert list(alone) == ["zh"]
    assert 0 <= alone["zh"][1] <= alone["zh"][0] <= alone["zh"][2] <= 100

    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "generator").symlink_to(backbone.folder / "best")
    scores = hint_scores(tmp_path / "run", parts.folder, job.generate)
    assert scores["true passage"] == scores["another passage"]  # this generator reads no keyphrases

    learnt = _read([str(parts.folder / "pretraining.jsonl")])
    french = {record.document.id for record in learnt if record.document.lang == "fr"}
    foreign = split_pairs(make_records("fr", 16), make_records("en", 16), job.split)
    known = {record.document.id for record in [*foreign["parallel"], *foreign["passages"]]}
    assert french == {f"{id}#{number}" for id in known for number in range(2)}  # sentences, and no keyphrases


def test_row_of_a_seed() -> None:
    recall = {"1": 60.0, "2": 70.0, "5": 80.0}
    rounds = [{"recall": recall, "pairs": 90, "accuracy": 75.0}, {"recall": recall, "pairs": 0, "accuracy": None}]
    scores = {name: [10.0, 9.0, 11.0] for name in ("generator", "ramkg", "rgit")}
    outcome = {"scores": scores, "rounds": rounds, "recall": {"rgit": {"1": 65.0, "5": 85.0}}, "seconds": 60.4}
    row = _run_row(2, Step(Path("unused"), "key", outcome, reused=False))
    assert row == {
        "seed": 2,
        **dict.fromkeys(("generator without retrieval", "RAMKG", "RAMKG + RGIT"), "10.0 (9.0 to 11.0)"),
        "recall@1 in each round, and after them": "60.0, 60.0, 65.0",
        "recall@5 in each round, and after them": "80.0, 80.0, 85.0",
        "pairs mined in each round (right)": "90 (75.0), 0 (–)",
        "seconds": 60,
    }
