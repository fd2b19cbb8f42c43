"""JSON files that others wrote: what is wrong with one is one line, and takes little time."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpray.cluster.job import bind_output
from kpray.cluster.step_cache import StepCache, step_key
from kpray.errors import UserError
from kpray.json_files import read_lines, read_object
from kpray.sweep.trials import SweepFolder
from kpray.train.metrics_log import MetricsLog

WRONG = {
    "[" * 100_000: "the JSON is nested too deeply",
    '{"a":' * 100_000: "the JSON is nested too deeply",
    "": "cannot be read: Expecting value",
    '{"a": ' + "9" * 5000 + "}": "cannot be read: Exceeds the limit",
    "[]": "is not a JSON object",
    "null": "is not a JSON object",
    "\udcff": "cannot be read: 'utf-8' codec can't decode byte 0xff",
}


@pytest.mark.parametrize("contents", WRONG)
def test_wrong_files(contents: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(contents, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read_object(path, "mend it")
    assert str(error.value).startswith(f"{path}: {WRONG[contents]}")
    assert str(error.value).endswith(" (mend it)")
    path.unlink()
    with pytest.raises(UserError, match=r"a\.json: cannot be read: No such file or directory \(mend it\)$"):
        read_object(path, "mend it")


@pytest.mark.parametrize("contents", list(WRONG)[:3])
def test_files_of_an_output_folder(contents: str, tmp_path: Path) -> None:
    bind_output(tmp_path, {}, begun=False)
    (tmp_path / "_kpray/manifest.json").write_text(contents)
    with pytest.raises(UserError, match=r"manifest\.json: .* \(give another --output\)$"):
        bind_output(tmp_path, {}, begun=True)
    step = StepCache(tmp_path).do("a", {}, lambda folder: {"x": 1})
    assert step.key == step_key("a", {})
    (step.folder / "finished.json").write_text(contents)
    with pytest.raises(UserError, match=r"finished\.json: .* \(remove this folder to run the step again\)$"):
        StepCache(tmp_path).find("a", {})


@pytest.mark.parametrize("line", [*list(WRONG)[:3], "[]"])
def test_wrong_lines(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(UserError, match=rf"a\.jsonl:2: {WRONG[line]}.* \(mend it\)$"):
        read_lines(path, "mend it")
    path.write_text('{"a": 1}\n{"a": ')
    assert read_lines(path, "mend it") == [{"a": 1}]


@pytest.mark.parametrize("line", ["{", '{"key": "a"}', '{"name": "started", "at": 0.5}', '{"key": "a", "other": 1}'])
def test_events_of_a_sweep(line: str, tmp_path: Path) -> None:
    (tmp_path / "_kpray").mkdir()
    (tmp_path / "_kpray/events.jsonl").write_text('{"key": "a", "name": "started", "at": 0.5}\n' + line + "\n")
    with pytest.raises(UserError, match=r"events\.jsonl:2: .* \(give another --output\)$"):
        SweepFolder(tmp_path).open()


@pytest.mark.parametrize("contents", ["{", "[]", '{"weeks": 1}'])
def test_time_of_a_sweep(contents: str, tmp_path: Path) -> None:
    (tmp_path / "_kpray").mkdir()
    (tmp_path / "_kpray/spent.json").write_text(contents)
    with pytest.raises(UserError, match=r"spent\.json: .* \(give another --output\)$"):
        SweepFolder(tmp_path).spent()


def test_metrics_of_a_training(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step"\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: .* \(move the file away\)$"):
        MetricsLog(tmp_path, 1, "none", {})
