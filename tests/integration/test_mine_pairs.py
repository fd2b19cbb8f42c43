"""Mining of translation pairs by margin, on a real local Ray with the weights of all-MiniLM-L6-v2."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from kpray.pretrained import MINILM, find_model
from tests.commands import ROOT, RunHere
from tests.integration.conftest import StartJob
from tests.integration.jobs import records


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of the job, except --output. The "translations" are in capital letters, which MiniLM ignores."""
    folder = tmp_path_factory.mktemp("pairs")
    english = records(Random(3), "en", 30)
    others = [
        {**record, "id": f"xx-{index}", "abstract": record["abstract"].upper()} for index, record in enumerate(english)
    ]
    for name, rows in {"english": english[:20], "passages": others[10:]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = [f"--{name}={folder}/{name}.jsonl" for name in ("english", "passages")]
    return [*files, "--lang", "de", "--bitext.model", find_model(MINILM), "--bitext.margin", "1.01"]


@pytest.mark.slow
def test_pairs(options: list[str], start_shared: StartJob, tmp_path: Path) -> None:
    output = tmp_path / "output"
    finished = start_shared(ROOT / "jobs/mine_pairs.py", *options, "--output", output).finish()
    assert finished.code == 0, finished.err
    pairs = [json.loads(line) for line in (output / "pairs.jsonl").read_text("utf-8").splitlines()]
    found = {pair["id"]: pair["english_ids"] for pair in pairs}
    assert all(found[f"xx-{index}"] == [f"en-{index}"] for index in range(10, 20))
    assert f"{len(pairs)} pairs of 20 and 20 documents" in finished.out


def test_dry_run(options: list[str], run_here: RunHere, tmp_path: Path) -> None:
    plan = run_here("mine_pairs.py", *options, "--output", tmp_path / "output", "--dry-run")
    assert plan.code == 0
    assert "--passages: 1 jsonl files, 20 records" in plan.out
    assert not (tmp_path / "output").exists()
