"""The parts of a batch job, without Ray."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kpray.batch.config import BatchConfig
from kpray.batch.extract import BatchRun, _PredictChunk, check_manifest, model_process_count, placement
from kpray.corpus.ids import count_repeated_ids
from kpray.corpus.limits import Limits, Reading
from kpray.corpus.records import Reject, parse_chunk
from kpray.corpus.sources import Source, find_sources
from kpray.corpus.units import split_document
from kpray.corpus.writing import read_predictions
from kpray.document import Document, Record
from kpray.errors import UserError
from kpray.predictor import PREDICTOR_FILE
from kpray.registry import open_predictor
from kpray.samrank.config import SAMRankConfig
from kpray.selection import SelectionOptions, options_from
from tests.batch.runs import TEXTS, chunks, output_of


@pytest.mark.parametrize(
    ("resources", "config", "actors", "gpus"),
    [
        ({"CPU": 2.0, "memory": 1e9}, BatchConfig(), (2, 2), 0),
        ({}, BatchConfig(), (1, 1), 0),
        ({"CPU": 8.0, "GPU": 1.0}, BatchConfig(), (4, 4), 0.25),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(), (8 * 4, 8 * 4), 0.25),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(gpu_fraction=0.5), (8 * 2, 8 * 2), 0.5),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(gpu_fraction=0.4), (8 * 2, 8 * 2), 0.4),  # the rest of a GPU is idle
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(gpu_fraction=1), (8, 8), 1),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(actors=5), (1, 5), 0.25),
        ({"CPU": 2.0}, BatchConfig(actors=1), (1, 1), 0),
    ],
)
def test_placement(resources: dict[str, float], config: BatchConfig, actors: tuple[int, int], gpus: float) -> None:
    arguments = placement(config, resources)
    pool = arguments.pop("compute")
    assert (pool.min_size, pool.max_size) == actors
    assert arguments == {"num_cpus": 0.9, "num_gpus": gpus}


@pytest.mark.parametrize(
    ("resources", "config", "device", "count"),
    [
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(), "auto", 8),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(), "cuda", 8),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(), "cpu", 0),
        ({"CPU": 64.0, "GPU": 8.0}, BatchConfig(actors=5), "auto", 0),
        ({"CPU": 64.0}, BatchConfig(), "auto", 0),
        ({"CPU": 64.0, "GPU": 0.5}, BatchConfig(), "auto", 0),
    ],
)
def test_two_stages_where_there_are_gpus(
    run: BatchRun, resources: dict[str, float], config: BatchConfig, device: str, count: int, tmp_path: Path
) -> None:
    on_device = replace(run, config={**run.config, "device": device})
    assert model_process_count(on_device, config, resources) == count
    (tmp_path / PREDICTOR_FILE).write_text('{"kind": "unikeyphrase", "config": {}}', encoding="utf-8")
    assert model_process_count(replace(on_device, predictor=str(tmp_path)), config, resources) == 0


@pytest.mark.parametrize(
    ("actors", "chunks", "size"), [(None, 3, 3), (None, 99, 8), (5, 99, 5), (5, 2, 2), (None, 0, 1)]
)
def test_few_chunks_have_a_small_pool(actors: int | None, chunks: int, size: int) -> None:
    pool = placement(BatchConfig(actors=actors), {"CPU": 8.0}, chunks)["compute"]
    assert (pool.min_size, pool.max_size) == (size, size)


def test_run_has_a_resolved_configuration(tmp_path: Path, model: str, nltk_tagger: None) -> None:
    config, batch = {"model": model}, BatchConfig(chunk_records=7)
    run = BatchRun.pinned(tmp_path / "output", "samrank", config, 5, Reading(lang="fr"), batch)
    dtype = SAMRankConfig(model=model).pinned_dtype
    assert dtype != "auto"
    assert run.config == SAMRankConfig(model=model, tagger="nltk", dtype=dtype).model_dump(mode="json")
    assert run.bfloat16() == (dtype == "bfloat16/float16")
    assert (run.top, run.reading.lang, run.chunk_records, run.output) == (5, "fr", 7, tmp_path / "output")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("predictor", "folder", "made with predictor = 'samrank', not 'folder'"),
        ("config", {"heads": ["1-1"]}, "made with config = "),
        ("top", 11, "made with top = 10, not 11"),
        ("reading", Reading(lang="fr"), "made with lang = 'en', not 'fr'"),
        (
            "reading",
            Reading(lang="en", limits=Limits(max_characters=5)),
            "made with limits = {'max_record_bytes': 16777216, 'max_characters': ",
        ),
        ("selection", SelectionOptions(diversity=0.5), "made with selection = None, not {'diversity': 0.5}"),
        ("split", "sentences", "made with split = None, not 'sentences'"),
        ("reading", Reading(lang="en", keep=("year",)), "made with keep = [], not ['year']"),
        ("chunk_records", 3, "made with chunk_records = 2, not 3"),
    ],
)
def test_output_of_another_run_is_refused(
    field: str, value: Any, message: str, run: BatchRun, sources: list[Source]
) -> None:
    check_manifest(run, sources)
    (output_of(run) / "part-0.parquet").touch()
    check_manifest(run, sources)
    with pytest.raises(UserError) as error:
        check_manifest(replace(run, **{field: value}), sources)
    assert str(error.value).startswith(f"{run.output}: the folder holds output {message}")
    assert "give another --output" in str(error.value)
    check_manifest(run, sources)  # the error has changed nothing


def test_run_without_output_binds_nothing(run: BatchRun, sources: list[Source]) -> None:
    # A first attempt with a misspelt model or head leaves a folder without predictions.
    check_manifest(run, sources)
    rejects = output_of(run) / "_kpray/rejects/part-0.jsonl"
    rejects.write_text('{"source": "a", "line": 1, "reason": "too long for the earlier limits"}\n', encoding="utf-8")
    other = replace(run, top=3)
    check_manifest(other, sources)
    assert not rejects.exists()
    rejects.touch()
    (output_of(run) / "part-0.parquet").touch()
    check_manifest(other, sources)
    assert rejects.exists()
    with pytest.raises(UserError, match="made with top = 3, not 10"):
        check_manifest(run, sources)


def test_inputs_may_be_added_but_not_change_or_go(run: BatchRun, sources: list[Source], tmp_path: Path) -> None:
    check_manifest(run, sources)
    (output_of(run) / "part-0.parquet").touch()
    (tmp_path / "new.txt").write_text("Graph theory.", encoding="utf-8")
    new = find_sources([str(tmp_path / "new.txt")])
    check_manifest(run, [*sources, *new])
    with pytest.raises(UserError, match=r"holds output of the input some.jsonl, which is not given now"):
        check_manifest(run, new)
    changed = tmp_path / "some.jsonl"
    changed.write_text(changed.read_text("utf-8").replace("Graph", "GRAPH"), encoding="utf-8")  # the same size
    with pytest.raises(UserError, match=r"^some.jsonl: the input has changed since this output was started"):
        check_manifest(run, [*find_sources([str(changed)]), *new])


def test_folder_of_the_inputs_may_be_renamed(run: BatchRun, tmp_path: Path) -> None:
    (tmp_path / "corpus/a").mkdir(parents=True)
    (tmp_path / "corpus/a/some.jsonl").write_text("{}", encoding="utf-8")
    before = find_sources([str(tmp_path / "corpus")])
    check_manifest(run, before)
    (output_of(run) / "part-0.parquet").touch()
    (tmp_path / "corpus").rename(tmp_path / "moved")
    after = find_sources([f"{tmp_path}/moved/"])
    check_manifest(run, after)
    assert [run.part(source) for source in after] == [run.part(source) for source in before]


def test_files_with_the_same_name_in_two_folders(run: BatchRun, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "some.txt").write_text(name, encoding="utf-8")
    sources = find_sources([str(tmp_path / "a"), str(tmp_path / "b")])
    assert [source.inside for source in sources] == ["some.txt", "2:some.txt"]
    assert len({run.part(source) for source in sources}) == 2
    check_manifest(run, sources)


def test_small_files_share_a_part_that_never_changes(run: BatchRun, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()

    def write(*numbers: int) -> list[Source]:
        for number in numbers:
            (folder / f"{number:03}.txt").write_text(f"Graph {number} has edges.", encoding="utf-8")
        return check_manifest(run, find_sources([str(folder)]))

    first = write(1, 2, 3, 5)  # two files for each bundle, like records for each chunk
    assert [[Path(file.path).stem for file in source.members] for source in first] == [["001", "002"], ["003", "005"]]
    actor = _PredictChunk(run)
    for source in first:
        [result] = [actor(table).to_pylist()[0] for table in chunks(run, source)]
        assert (result["written"], result["error"]) == (2, "")
    rows = [row for part in sorted(output_of(run).glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    assert sorted(row["source"] for row in rows) == [f"{folder}/{number:03}.txt" for number in (1, 2, 3, 5)]

    (folder / "large.txt").write_text("Graphs have edges. " * 4000, encoding="utf-8")
    second = write(0, 4)  # both come between the others
    assert [[Path(file.path).stem for file in source.members] for source in second] == [
        ["000", "004"],
        ["001", "002"],
        ["003", "005"],
        [],
    ]
    assert {run.part(source) for source in first} == {run.part(source) for source in second[1:3]}
    assert len({run.part(source) for source in second}) == 4


def test_a_bundle_that_kills_its_reader_is_read_file_by_file(run: BatchRun, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"Graph {name} has edges.", encoding="utf-8")
    [source] = check_manifest(run, find_sources([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]))
    notes = output_of(run) / f"_kpray/deaths/read-{run.part(source)}"
    notes.parent.mkdir()
    notes.write_text("whole whole whole 0-0 0-0", encoding="utf-8")
    [table] = chunks(run, source)
    chunk = pickle.loads(table["chunk"][0].as_py())
    reject, record = parse_chunk(chunk, run.reading)
    assert isinstance(reject, Reject)
    assert (reject.source, reject.reason) == (
        f"{tmp_path}/a.txt",
        "the rest of the file cannot be read: killed the worker",
    )
    assert isinstance(record, Record)
    assert record.source == f"{tmp_path}/b.txt"


def test_names_of_parts_do_not_depend_on_the_current_folder(
    run: BatchRun, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(path: str) -> list[str]:
        return [table["part"][0].as_py() for table in chunks(run, find_sources([path])[0])]

    expected = names(sources[0].path)
    assert len(set(expected)) == 2  # four items, two per chunk
    monkeypatch.chdir(tmp_path)
    assert names("some.jsonl") == names("../" + tmp_path.name + "/some.jsonl") == expected
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "some.jsonl")
    assert names("link.jsonl") == expected
    (tmp_path / "other.jsonl").write_bytes((tmp_path / "some.jsonl").read_bytes())
    assert set(names("other.jsonl")).isdisjoint(expected)


def test_chunks_are_predicted_and_committed_once(run: BatchRun, sources: list[Source]) -> None:
    check_manifest(run, sources)
    actor = _PredictChunk(run)

    def process() -> list[dict[str, Any]]:
        rows = [actor(table).to_pylist()[0] for table in chunks(run, sources[0])]
        assert all(row.pop("seconds") > 0 for row in rows)
        return rows

    first, second = process()
    expected = {"written": 1, "rejected": 1, "new": True, "error": "", "logs": ""}
    assert first == {**expected, "bytes": first["bytes"]}
    assert second == {**expected, "written": 2, "rejected": 0, "bytes": second["bytes"]}
    assert first["bytes"] + second["bytes"] == sources[0].bytes

    files = sorted(output_of(run).glob("*.parquet"))
    assert [[row["id"] for row in pq.read_table(file).to_pylist()] for file in files] == [["0"], ["1", "2"]]
    places = [(row["source"], row["line"]) for file in files for row in pq.read_table(file).to_pylist()]
    assert places == [(sources[0].name, 1), (sources[0].name, 3), (sources[0].name, 4)]
    made_by = json.loads(pq.read_metadata(files[0]).metadata[b"kpray"])
    assert made_by["config"]["heads"] == ["2-1"]
    [line] = [line for file in (run.state / "rejects").glob("*") for line in file.read_text("utf-8").splitlines()]
    assert json.loads(line) == {
        "source": sources[0].name,
        "line": 2,
        "reason": "not JSON: Expecting value at column 1",
    }

    # If one part is lost, only its chunk is processed again.
    files[1].unlink()
    before = files[0].stat().st_mtime_ns
    assert process() == [{**first, "new": False}, second]
    assert files[0].stat().st_mtime_ns == before
    assert sorted(output_of(run).glob("*.parquet")) == files


def test_options_reach_the_workers(run: BatchRun, sources: list[Source]) -> None:
    options: dict[str, Any] = {
        "vocabulary": ["sparse graph", "network", "algorithm"],
        "diversity": 0.3,
        "stop_words": ["parallel"],
    }
    chosen = replace(run, selection=options_from(options), split="sentences")
    for chunk in chunks(chosen, sources[0]):
        _PredictChunk(chosen)(chunk)
    found = read_predictions(output_of(run))
    documents = [
        unit
        for index, text in enumerate(TEXTS)
        for unit in split_document(Document(str(index), text, lang="en"), "sentences")
    ]
    expected = open_predictor("samrank", run.config).predict(documents, **options)
    assert found == {("en", each.id): phrases for each, phrases in zip(documents, expected, strict=True)}
    assert any(found.values())


def test_worker_returns_user_errors_to_the_driver(run: BatchRun, sources: list[Source]) -> None:
    tables = chunks(run, sources[0])
    wrong = _PredictChunk(replace(run, config={**run.config, "heads": ["9-1"]}))
    assert wrong(tables[0]).to_pylist()[0]["error"].startswith("heads: the model has no head 9-1")
    Path(sources[0].path).unlink()
    [gone] = chunks(run, sources[0])
    assert "some.jsonl: the file cannot be read: No such file" in gone["error"][0].as_py()
    actor = _PredictChunk(run)
    assert actor(gone).to_pylist()[0]["error"] == gone["error"][0].as_py()


def test_worker_that_cannot_write(run: BatchRun, sources: list[Source]) -> None:
    tables = chunks(run, sources[0])
    (output_of(run) / "_kpray/rejects").rmdir()
    row = _PredictChunk(run)(tables[0]).to_pylist()[0]
    assert row["error"].startswith(f"{run.output}: cannot write: No such file")


@pytest.mark.parametrize("text", ["", "\n", "\U0001f600"])
def test_document_without_words_is_written(text: str, run: BatchRun, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(text, encoding="utf-8")
    [table] = chunks(run, find_sources([str(tmp_path / "blank.txt")])[0])
    assert _PredictChunk(run)(table).to_pylist()[0]["error"] == ""
    [file] = run.output.glob("*.parquet")
    assert [row["keyphrases"] for row in pq.read_table(file).to_pylist()] == [[]]


def test_metadata_is_a_column_of_json(run: BatchRun, tmp_path: Path) -> None:
    lines = [{"id": 1, "text": TEXTS[0], "year": 1999, "tags": 7}, {"id": 1, "text": TEXTS[1]}]
    (tmp_path / "kept.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    run = replace(run, reading=Reading(lang="en", keep=("year",), gold=False))
    [table] = chunks(run, find_sources([str(tmp_path / "kept.jsonl")])[0])
    _PredictChunk(run)(table)
    [file] = output_of(run).glob("*.parquet")
    assert pq.read_table(file).column("metadata").to_pylist() == ['{"year": 1999}', "{}"]
    assert count_repeated_ids(output_of(run)) == 1


def test_links_that_are_rejected_have_parts_of_their_own(run: BatchRun, tmp_path: Path) -> None:
    for folder in ("in", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text("Graph theory helps.", encoding="utf-8")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "elsewhere" / "elsewhere.txt")
    (tmp_path / "in" / "loop.txt").symlink_to("loop.txt")
    sources = find_sources([str(tmp_path / "in"), str(tmp_path / "elsewhere")])
    check_manifest(run, sources)
    actor = _PredictChunk(run)
    rows = [actor(table).to_pylist()[0] for source in sources for table in chunks(run, source)]
    assert [(row["written"], row["rejected"], row["new"], row["error"]) for row in rows] == [
        (1, 0, True, ""),
        (0, 1, True, ""),
        (0, 1, True, ""),
        (1, 0, True, ""),
    ]
