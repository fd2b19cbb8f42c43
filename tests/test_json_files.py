"""JSON files that others wrote: what is wrong with one is one line, and takes little time."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpray.cluster.job import bind_output
from kpray.cluster.step_cache import StepCache, step_key
from kpray.errors import UserError
from kpray.json_files import read_object

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
