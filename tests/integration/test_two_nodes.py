"""The extract job on a cluster of two nodes, one of which is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Finished
from tests.integration.jobs import Corpus, Job, contents

WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # only this test uses the cluster


@pytest.mark.slow
def test_loss_of_a_node(
    uninterrupted: tuple[Path, Finished],
    corpus: Corpus,
    start_extract: Callable[..., Job],
    start_job: Callable[..., Job],
    tmp_path: Path,
) -> None:
    output = tmp_path / "output"
    cluster = start_job(Path(__file__).with_name("two_nodes.py"), variables=WITHOUT_TOKEN)
    address = cluster.read_line()
    job = start_extract(output, "--address", address, variables=WITHOUT_TOKEN)
    job.wait_for_parts(output, corpus.parts() // 4)
    assert len(cluster.workers()) == 2  # one on each node
    cluster.write_line()
    assert cluster.read_line() == "removed"
    finished = job.finish()
    assert finished.code == 0, finished.err
    assert finished.out == uninterrupted[1].out.replace(str(uninterrupted[0]), str(output))
    assert contents(output) == contents(uninterrupted[0])
    cluster.write_line()
    assert cluster.finish().code == 0
