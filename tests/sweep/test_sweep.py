"""Concurrency, budget, ASHA and journal of a sweep, without Ray's processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial as TuneTrial

from kpray.cluster.job import JobSettings
from kpray.document import Record
from kpray.errors import UserError
from kpray.metrics.protocols import PROTOCOLS
from kpray.report.sweep_progress import SweepProgress
from kpray.sweep.ray_tune import Budget, Journal, QueueSearcher, ResumedASHA, Rungs
from kpray.sweep.search import SearchConfig, TrialQueue, with_setting
from kpray.sweep.sweep import Demand, Sweep, begin, describe_plan, trials_at_once
from kpray.sweep.training import TrainingKind, run_training_sweep, share_cluster
from kpray.sweep.trials import Outcome, Spent, SweepFolder, Trial
from kpray.training import RunConfig, check_keyphrases
from tests.sweep.tiny_sweep import TinySweep
from tests.train.tiny_task import TinyConfig, TinyTask, make_records, write_records

TRIALS = [Trial({"x": x}, 0) for x in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path)
    made.open()
    return made


def nodes(*cpus: float, gpus: float = 0) -> list[dict[str, float]]:
    return [{"CPU": number, **({"GPU": gpus} if gpus else {})} for number in cpus]


@pytest.mark.parametrize(
    ("demand", "of", "reserved", "most", "expected"),
    [
        (Demand(1, 1.0, driver=0.0), nodes(2), 0.0, None, 2),
        (Demand(1, 1.0, driver=0.0), nodes(2), 0.0, 1, 1),
        (Demand(1, 1.0), nodes(2), 0.0, None, 1),  # 2 / (1 + 0.01) = 1.98
        (Demand(2, 1.0), nodes(4), 0.25, None, 1),  # 3.75 cores are enough for 3 workers of 1.005
        (Demand(2, 0.9, driver=0.1), nodes(2, 2, 2), 0.0, None, 3),  # 2 workers of 0.95 on each node
        (Demand(1, 1.5, driver=0.0), nodes(2, 2), 0.0, None, 2),  # a worker cannot span nodes, so not 4 / 1.5
        (Demand(1, 1.0, 1.0), nodes(16, gpus=4), 0.0, None, 4),
        (Demand(1, 1.0, 0.25, driver=0.0), nodes(16, gpus=2), 0.0, 99, 8),
    ],
)
def test_trials_at_once(
    demand: Demand, of: list[dict[str, float]], reserved: float, most: int | None, expected: int
) -> None:
    assert trials_at_once(demand, of, reserved, most) == expected


def test_error_for_a_trial_that_does_not_fit_has_the_numbers() -> None:
    with pytest.raises(UserError) as error:
        trials_at_once(Demand(4, 2.0, driver=0.0), nodes(2, 6), 0.25, None)
    assert str(error.value) == (
        "sweep: one trial does not fit: it needs 4 x 2 = 8 cores, but the cluster has 7.5 cores on 2 nodes (0.25 of "
        "each node are reserved), enough for 2 such workers (use fewer or smaller workers, or a larger cluster)"
    )
    with pytest.raises(UserError, match=r"2 x 1.000 GPUs|2 x 1 = 2 GPUs, but the cluster has 8 cores and 1 GPUs"):
        trials_at_once(Demand(2, 1.0, 1.0), nodes(8, gpus=1), 0.0, None)


@pytest.mark.parametrize(
    ("run", "cores", "most", "workers", "at_once"),
    [
        ({}, 2, None, 1, 2),
        ({}, 2, 1, 1, 1),
        ({"workers": 2}, 2, None, 2, 1),
        ({"cpus": 0.5}, 2, None, 1, 3),  # 1.75 / 0.51
        ({"workers": 2, "cpus": 1.0}, 8, 2, 2, 2),
    ],
)
def test_a_cluster_is_shared_among_trainings(
    run: dict[str, Any], cores: int, most: int | None, workers: int, at_once: int
) -> None:
    demand, number = share_cluster(RunConfig(**run), nodes(cores), most)
    assert (demand.workers, number) == (workers, at_once)
    assert number * (workers * demand.cpus + demand.driver) <= cores - 0.25 + 1e-9
    if "cpus" not in run:  # the whole cluster is used
        assert number * (workers * demand.cpus + demand.driver) == pytest.approx(cores - 0.25)


def test_a_training_that_does_not_fit() -> None:
    with pytest.raises(UserError, match=r"needs 4 x 1.002 = 4.01 cores, but the cluster has 1.75 cores on 1 node"):
        share_cluster(RunConfig(workers=4, cpus=1.0), nodes(2), None)
    with pytest.raises(UserError, match=r"4 x 1 = 4 GPUs, but the cluster has 7.75 cores and 2 GPUs"):
        share_cluster(RunConfig(workers=4), nodes(8, gpus=2), None)


def test_setting_replaces_values_of_a_configuration() -> None:
    values = {"task": {"model": {"depth": 1, "size": 2}}, "lang": "en"}
    assert with_setting(values, {"task.model.depth": 3, "lang": "fr"}) == {
        "task": {"model": {"depth": 3, "size": 2}},
        "lang": "fr",
    }
    assert values["lang"] == "en"


def test_searcher_suggests_unfinished_trials_only(folder: SweepFolder) -> None:
    for trial in TRIALS[:2]:
        folder.add(trial)
        folder.note(trial, "started")
    folder.finish(TRIALS[0], "finished", Outcome(1.0, {}))
    queue = TrialQueue({"x": [trial.setting["x"] for trial in TRIALS[:3]]}, SearchConfig(seeds=(0,)), folder)
    searcher = QueueSearcher(queue, folder, Budget(folder, None, 1.0))
    suggested = [searcher.suggest(f"t{number}") for number in range(3)]
    assert suggested == [{"key": TRIALS[1].key}, {"key": TRIALS[2].key}, "FINISHED"]


def test_budget_covers_earlier_runs(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("kpray.sweep.ray_tune.time.monotonic", lambda: clock[0])
    folder.spend(Spent(1.0, 3.0))
    budget = Budget(folder, 2.0, devices=0.5)
    budget.running = 2
    clock[0] += 1800
    budget.tick()
    assert (budget.spent, budget.over(), budget.stop_all()) == (Spent(1.5, 3.0 + 2 * 0.5 * 0.5), False, False)
    assert folder.spent() == budget.spent
    clock[0] += 1800
    budget.tick()
    assert budget.stop_all()
    queue = TrialQueue({"x": [1]}, SearchConfig(seeds=(0,)), folder)
    assert QueueSearcher(queue, folder, budget).suggest("t") == "FINISHED"
    assert Budget(folder, 2.1, 1.0).over() is False
    assert Budget(folder, None, 1.0).over() is False


def report(asha: ResumedASHA, trial: TuneTrial, step: int, score: float) -> str:
    return asha.on_trial_result(None, trial, {"step": step, "score": score})


def make_trial(name: str, key: str = "") -> TuneTrial:
    storage: Any = SimpleNamespace(trial_driver_staging_path="/no/such/folder")
    return TuneTrial("", stub=True, trial_id=name, config={"key": key}, storage=storage)


def test_asha_stops_bad_trials_but_never_at_the_last_step(folder: SweepFolder) -> None:
    asha = ResumedASHA(folder, Rungs(first=10, reduction=2, steps=40))
    controller: Any = None
    trials = [make_trial(name) for name in "abcd"]
    for trial in trials:
        asha.on_trial_add(controller, trial)
    assert report(asha, trials[0], 10, 1.0) == "CONTINUE"
    assert report(asha, trials[1], 5, 0.1) == "CONTINUE"  # before the first rung
    assert report(asha, trials[1], 10, 0.5) == "STOP"
    assert report(asha, trials[2], 10, 2.0) == "CONTINUE"
    assert report(asha, trials[2], 40, -9.0) == "CONTINUE"
    assert asha.stopped == {"b"}


def test_asha_knows_the_trials_of_earlier_runs(folder: SweepFolder) -> None:
    for trial, score in zip(TRIALS[:2], (1.0, 2.0), strict=True):
        folder.add(trial)
        folder.note(trial, "report", step=10, score=score)
        folder.note(trial, "started")
        folder.finish(trial, "finished", Outcome(score, {}))
    asha = ResumedASHA(folder, Rungs(10, 2, 40))
    controller: Any = None
    fresh = make_trial("fresh")
    asha.on_trial_add(controller, fresh)
    assert report(asha, fresh, 10, 1.4) == "STOP"


def test_journal_records_events(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for trial in TRIALS:
        folder.add(trial)
    tune_trials = [make_trial(f"t{index}", trial.key) for index, trial in enumerate(TRIALS)]
    finished, stopped, crashed, failed, *_ = tune_trials
    with SweepProgress(6) as progress:
        journal = Journal(folder, Budget(folder, None, 1.0), progress, {"t1"})
        for one in tune_trials[:5]:
            journal.on_trial_start(1, [], one)
        journal.on_trial_result(1, [], stopped, {"step": 20, "score": 0.25})
        journal.on_trial_result(1, [], stopped, {"step": 20, "score": 0.25, "done": True})
        folder.finish(TRIALS[0], "finished", Outcome(0.75, {"f1": 0.5}))
        journal.on_trial_complete(1, [], finished)
        journal.on_trial_complete(1, [], stopped)
        journal.on_trial_recover(1, [], crashed)
        (folder.trial_folder(TRIALS[3]) / "failed.json").write_text(json.dumps({"error": "bad"}), encoding="utf-8")
        journal.on_trial_complete(1, [], failed)
        journal.on_step_end(1, [])
        assert journal.budget.running == 1
        journal.close()
    again = SweepFolder(folder.path)
    again.open()
    rows = [again.row(trial) for trial in again.started()]
    assert [row.state for row in rows] == ["finished", "stopped", "unfinished", "failed", "unfinished"]
    assert [row.score for row in rows] == [0.75, 0.25, None, None, None]
    assert [row.crashes for row in rows[2:4]] == [("unknown reason",), ("bad",)]
    assert rows[1].step == 20
    assert len(list(again.reports(TRIALS[1]))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "kpray: x 3, seed 0: failed: bad (2 of 6 trials done, 1 stopped, 1 failed, 1 running)" in lines


def test_an_incomplete_line_of_the_journal_is_removed(folder: SweepFolder) -> None:
    folder.add(TRIALS[0])
    folder.note(TRIALS[0], "started")
    with (folder.state / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"key": "ab')
    again = SweepFolder(folder.path)
    again.open()
    assert again.started() == [TRIALS[0]]
    again.note(TRIALS[0], "finished")
    third = SweepFolder(folder.path)
    third.open()
    assert [event.name for event in third.events[TRIALS[0].key]] == ["started", "finished"]


def test_plan_of_a_sweep(folder: SweepFolder) -> None:
    folder.spend(Spent(0.5, 1.0))
    config = SearchConfig(seeds=(0, 1), hours=2.5)
    sweep = Sweep(folder, {"task.x": [0, 1, 2]}, config, print, Demand(1, 0.865), 2)  # type: ignore[arg-type]
    assert describe_plan(sweep) == [
        "3 settings of 3 x, each with 2 seeds: 6 trials, 0 already finished",
        "2 concurrent trials of 1 worker of 0.865 cores each",
        "at most 2.5 hours; used so far: 0.50 hours, 1.00 device-hours",
    ]


def test_inputs_of_a_sweep_have_an_identity(folder: SweepFolder) -> None:
    identity = {"bytes": 3, "modified": 1, "sha256": "a"}
    begin(folder, JobSettings(), {"x": 1}, {"--train a.jsonl": identity})
    begin(folder, JobSettings(), {"x": 1}, {"--train b.jsonl": identity})  # there is no trial yet
    folder.add(TRIALS[0])
    folder.note(TRIALS[0], "started")
    begin(folder, JobSettings(), {"x": 1}, {"--train b.jsonl": identity})
    with pytest.raises(UserError, match=r"^--train b.jsonl: the input has changed since this output was started"):
        begin(folder, JobSettings(), {"x": 1}, {"--train b.jsonl": {**identity, "sha256": "b"}})


def test_mistakes_in_the_documents_end_a_sweep_before_its_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CheckedTask(TinyTask):
        def check(self, valid: Sequence[Record]) -> None:
            check_keyphrases(valid, PROTOCOLS["meng"])

    write_records(make_records(4, seed=0), tmp_path / "train.jsonl")
    (tmp_path / "valid.jsonl").write_text('{"id": "1", "text": "A text."}\n', encoding="utf-8")
    job = TinySweep(
        train=(str(tmp_path / "train.jsonl"),), valid=(str(tmp_path / "valid.jsonl"),), output=str(tmp_path / "output")
    )
    monkeypatch.setattr("kpray.sweep.training.ray_session", None)  # Ray would not start
    with pytest.raises(UserError, match=r"^--valid .*valid.jsonl: none of the 1 validation documents has keyphrases"):
        run_training_sweep(job, TrainingKind("train_tiny.py", CheckedTask, TinyConfig), {"optim.lr": [0.1]}, "Tiny")
    with pytest.raises(UserError, match="the input and the output must not contain each other"):
        run_training_sweep(
            job.model_copy(update={"train": (str(tmp_path),)}), TrainingKind("", CheckedTask, TinyConfig), {}, ""
        )
    assert not (tmp_path / "output").exists()
