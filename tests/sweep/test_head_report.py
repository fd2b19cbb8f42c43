"""The report on heads: heads are chosen without the test data. Only the oracle uses them, and it is labelled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from kpray.document import Record
from kpray.report.page import RunDetails
from kpray.report.trials import TrialRow
from kpray.samrank.combine import all_scorings, make_table, save_table
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import Mode, Scoring, all_heads, score_documents
from kpray.samrank.predictor import SAMRank
from kpray.settings import validate_settings
from kpray.sweep.config import HeadSweepSettings
from kpray.sweep.head_report import HeadData, HeadReport, _scoring_cells, write_head_report
from kpray.sweep.trials import Spent
from tests.samrank.test_heads import RECORDS
from tests.samrank.tiny_models import save_bert

MODES: list[Mode] = [("backward", "global"), ("forward", "global")]
SCORES = ("both", "global", "proportional")
VALID, TEST = RECORDS[:2], RECORDS[4:]


def report_of(model: str, test: tuple[Record, ...], folder: Path) -> HeadReport:
    config = SAMRankConfig(model=model)
    predictor = SAMRank(config.model_copy(update={"heads": all_heads(model)}))
    data = []
    folder.mkdir()
    for name, records in (("valid", VALID), ("test", test)):
        scored = score_documents(predictor, records, ["extended"], MODES)
        table = make_table(scored, all_scorings(["extended"], SCORES, MODES), MODES, config.merge_stems)
        save_table(table, folder / f"{name}.npz")
        data.append(HeadData(name, {model: [folder / f"{name}.npz"]}))
    trial = TrialRow("a", {}, 0, "finished", None, {"documents": 2, "seconds": 1.0, "processor_seconds": 1.0})
    return HeadReport(
        run=RunDetails("python jobs/sweep.py", "2026-01-02 03:04 UTC", 5.0, "seed: 0\n", {"kpray": "1"}),
        samrank=config,
        modes=MODES,
        rules=["extended"],
        scores=SCORES,
        models=[model],
        valid=data[:1],
        test=data[1:],
        most=3,
        cutoff=5,
        seed=0,
        trials=[trial],
        spent=Spent(0.5, 1.0),
    )


def test_the_choice_does_not_depend_on_the_test_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    model = save_bert(tmp_path / "model").folder
    other_gold = tuple(replace(record, keyphrases=("attention maps",), stemmed=None) for record in TEST)
    found = []
    for name, test in (("one", TEST), ("other", other_gold)):
        report = report_of(model, test, tmp_path / f"{name}-tables")
        (tmp_path / name).mkdir()
        write_head_report(report, tmp_path / name)
        values = json.loads((tmp_path / name / "report.json").read_text("utf-8"))
        best = (tmp_path / name / "best.yaml").read_text("utf-8").replace(f"chosen by {name}", "")
        found.append((values["choices"], best))
        oracle = [row for row in values["test"] if row["picked"].startswith("oracle")]
        singles = [row["F1@5"] for row in values["test"] if " " not in row["heads"]]
        assert [row["F1@5"] for row in oracle] == [max(singles)]
    assert found[0] == found[1]
    choices, best = found[0]
    assert [row["how"] for row in choices] != []
    assert np.all(np.diff([row["validation F1@5"] for row in choices]) <= 0)  # the best first
    configuration = yaml.safe_load(best)
    assert configuration["predictor"] == "samrank"
    settings = validate_settings(SAMRankConfig, configuration["samrank"], where="best.yaml")
    assert " ".join(settings.heads) == choices[0]["heads"]
    page = (tmp_path / "one" / "report.md").read_text("utf-8")
    assert "oracle: best on these test data" in page
    assert {path.name for path in (tmp_path / "one" / "figures").iterdir()} == {
        "heads_both_backward.svg",
        "heads_both_forward.svg",
        "heads_global.svg",
        "heads_proportional_backward.svg",
        "heads_proportional_forward.svg",
        "parallel.svg",
    }
    assert "chosen on the validation data" in capsys.readouterr().out


def test_forward_redistribution_occurs_once_for_all_weightings() -> None:
    space = {"weighting": ["unit", "global"]}
    job = validate_settings(HeadSweepSettings, {"valid": ["v.jsonl"], "output": "heads", "space": space}, where="test")
    assert job.modes == [("backward", "unit"), ("backward", "global"), ("forward", "unit")]
    forward = Scoring("extended", "both", "forward", "unit")
    assert _scoring_cells(forward)["weighting"] == "–"
    assert _scoring_cells(replace(forward, redistribution="backward"))["weighting"] == "unit"
