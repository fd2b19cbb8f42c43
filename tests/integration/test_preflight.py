"""Preflight on a cluster of two nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kpray.versions import versions
from tests.commands import ROOT, Finished
from tests.integration.jobs import Job

VARIABLES = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}  # only this test uses the cluster


@pytest.mark.slow
def test_two_nodes(start_job: Callable[..., Job], tmp_path: Path) -> None:
    cluster = start_job(Path(__file__).with_name("two_nodes.py"), variables=VARIABLES)
    address = cluster.read_line()
    model, output = tmp_path / "model", tmp_path / "output"
    model.mkdir()
    (model / "config.json").touch()

    def run(output: Path, model: Path) -> Finished:
        script = Path(__file__).with_name("preflight_nodes.py")
        return start_job(script, address, output, model, variables=VARIABLES).finish()

    good = run(output, model)
    assert (good.code, good.out) == (0, "all is well\n"), good.err
    title = "kpray: preflight: "  # a slow connection has lines of progress, too
    nodes, same, written, read = (part for line in good.err.splitlines() if (part := line.removeprefix(title)) != line)
    assert nodes == "2 nodes, 2 cores"
    assert f"torch {versions()['torch']}" in same
    assert written == f"{output}: all nodes share it and can write to it"
    assert read == f"{model}: all nodes can read it"
    assert list(output.iterdir()) == []

    bad = run(output, tmp_path / "absent")
    assert (bad.code, bad.out) == (2, "")
    [line] = [line for line in bad.err.splitlines() if line.startswith("kpray: error: ")]
    assert f"the node cannot read the model {tmp_path / 'absent'}: No such file or directory" in line
    cluster.write_line()
    cluster.write_line()
    assert cluster.finish().code == 0
