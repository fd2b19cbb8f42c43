"""On Ray Data, too, a record that kills its worker is rejected, and the job goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kpray.batch.deaths import KILLED
from tests.batch.test_deaths import Run, rows
from tests.commands import ROOT
from tests.integration.conftest import StartJob


@pytest.mark.slow
def test_only_the_record_that_kills_is_lost(start_job: StartJob, tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(number), "abstract": "poison" if number == 50 else "graph"}) for number in range(90)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    run = Run(tmp_path / "output")
    script = Path(__file__).with_name("deadly.py")
    finished = start_job(script, tmp_path / "in.jsonl", run.output, variables={"PYTHONPATH": str(ROOT)}).finish()
    assert (finished.code, finished.out) == (0, "89 1\n"), finished.err
    assert "Traceback" not in finished.err
    assert sorted(int(id) for id, _ in rows(run)) == [number for number in range(90) if number != 50]
    [reject] = [json.loads(line) for line in (run.output / "_rejects.jsonl").read_text("utf-8").splitlines()]
    assert (reject["line"], reject["reason"]) == (51, KILLED)
