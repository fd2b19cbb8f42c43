"""The quickstart: what a new user sees first, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.commands import ROOT, Finished
from tests.integration.conftest import StartJob

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "new" / "quickstart"


@pytest.fixture(scope="module")
def finished(output: Path, start_shared: StartJob, model_options: list[str]) -> Finished:
    return start_shared(ROOT / "jobs/quickstart.py", "--output", output, *model_options).finish()


def test_the_keyphrases_come_first(finished: Finished, output: Path) -> None:
    assert finished.code == 0, finished.err
    order = (
        f"SAMRank on 60 short texts in 5 languages ({output}/corpus.jsonl), with a local Ray:",
        "Keyphrases after ",
        "F1 by language, in percent",
        "All documents, protocol samrank",
        "The 5 best attention heads",
        "Done in ",
        "What to try next:",
        "kpray quickstart --all",
    )
    lines = finished.out.splitlines()
    found = [next(number for number, line in enumerate(lines) if text in line) for text in order]
    assert found == sorted(found)
    assert {line.split()[0] for line in lines[found[1] :] if line.startswith(" ") and line.strip()} >= {
        "en",
        "fr",
        "zh",
    }
    assert "UniKeyphrase" not in finished.out  # nothing is trained without --all
    assert len(lines[found[6] :]) == 1 + 3  # three commands to try next


def test_everything_that_it_names_is_there(finished: Finished, output: Path) -> None:
    assert finished.code == 0, finished.err
    names = {path.name for path in output.iterdir()}
    assert names == {
        "_config.yaml",
        "_versions.json",
        "corpus.jsonl",
        "heads.svg",
        "keyphrases",
        "report.html",
        "report.md",
    }
    assert sum(pq.read_metadata(part).num_rows for part in (output / "keyphrases").glob("*.parquet")) == 60
    page = (output / "report.html").read_text("utf-8")
    assert page.count("<svg ") == 1
    assert "jobs/quickstart.py" in page
    assert "(heads.svg)" in (output / "report.md").read_text("utf-8")
