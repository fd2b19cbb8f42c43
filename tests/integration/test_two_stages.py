"""Two stages give the bytes of one predictor, and lose only the record that kills."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from kpray.batch.deaths import KILLED, MOST_DEATHS, RECORD_DEATHS, WHOLE
from kpray.corpus.quickstart import quickstart_text
from kpray.corpus.records import Reject, read_records
from kpray.corpus.writing import read_predictions
from kpray.document import Document
from kpray.registry import open_predictor
from tests.commands import ROOT
from tests.integration.conftest import StartJob
from tests.integration.two_stages import CHUNK, POISON, TOP, run_of
from tests.samrank.tiny_models import SENTENCES, save_bert


@pytest.mark.slow
@pytest.mark.usefixtures("nltk_tagger")
def test_two_stages(start_job: StartJob, tmp_path: Path) -> None:
    model = save_bert(tmp_path / "model").folder
    lines = quickstart_text().splitlines()
    lines[POISON:POISON] = [json.dumps({"id": "poison", "text": "poison"}), "no JSON"]
    lines[50] = json.dumps({"id": "unknown", "lang": "xx", "text": "graph theory"})
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    output = tmp_path / "output"
    script = Path(__file__).with_name("two_stages.py")
    finished = start_job(script, tmp_path / "in.jsonl", output, model, variables={"PYTHONPATH": str(ROOT)}).finish()
    assert (finished.code, finished.out) == (0, f"{len(lines) - 3} 3\n"), finished.err
    assert "Traceback" not in finished.err

    run = run_of(tmp_path / "other", model)
    predictor = open_predictor("samrank", run.config)
    records = [each for each in read_records([str(tmp_path / "in.jsonl")], run.reading) if not isinstance(each, Reject)]
    documents = [each.document for each in records if each.document.id not in ("poison", "unknown")]
    expected = dict(
        zip([(each.lang, each.id) for each in documents], predictor.predict(documents, top=TOP), strict=True)
    )
    assert read_predictions(output) == expected
    rejects = [json.loads(line) for line in (output / "_rejects.jsonl").read_text("utf-8").splitlines()]
    assert [(reject["line"], reject["reason"].split(":")[0].split("'")[0]) for reject in rejects][:2] == [
        (POISON + 1, KILLED),
        (POISON + 2, "not JSON"),
    ]
    assert rejects[2]["line"] == 51
    # Each death counts once, and only for the chunk that killed: the calls of the other worker were repeated.
    [notes] = (output / "_kpray/deaths").glob("part-*")
    assert notes.name.endswith(f"-{POISON // CHUNK:06d}")
    assert Counter(notes.read_text("utf-8").split()) == {WHOLE: MOST_DEATHS, str(POISON % CHUNK): RECORD_DEATHS}


@pytest.mark.gpu
@pytest.mark.usefixtures("nltk_tagger")
def test_two_stages_on_a_gpu(start_job: StartJob, tmp_path: Path) -> None:
    """The job gives the bytes of a predictor on this GPU that gets the same documents at once."""
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU (torch.cuda is not available)")
    model = save_bert(tmp_path / "model").folder
    documents = [Document(str(index), SENTENCES[index % len(SENTENCES)], lang="en") for index in range(5 * CHUNK)]
    lines = [json.dumps({"id": each.id, "text": each.body, "lang": "en"}) for each in documents]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    script, output = Path(__file__).with_name("two_stages.py"), tmp_path / "output"
    arguments = (tmp_path / "in.jsonl", output, model, "GPUS")
    finished = start_job(script, *arguments, variables={"PYTHONPATH": str(ROOT)}).finish()
    assert finished.code == 0, finished.err
    here = open_predictor("samrank", run_of(tmp_path / "other", model).config)
    chunks = [documents[start : start + CHUNK] for start in range(0, len(documents), CHUNK)]
    found = [phrases for some in chunks for phrases in here.predict(some, top=TOP)]
    expected = {("en", each.id): phrases for each, phrases in zip(documents, found, strict=True)}
    assert read_predictions(output) == expected
