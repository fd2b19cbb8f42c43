"""The settings that a sweep tries, their order, and the remaining ones after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpray.errors import UserError
from kpray.settings import validate_settings
from kpray.sweep.search import (
    SearchConfig,
    Space,
    TrialQueue,
    draw,
    expand,
    number_of_trials,
    setting_at,
    space_size,
)
from kpray.sweep.trials import Outcome, SweepFolder, Trial

SPACE: Space = {"a.depth": (0, 1, 2), "a.scale": ("one", "sqrt")}


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path)
    made.open()
    return made


def finish(folder: SweepFolder, trial: Trial, score: float) -> None:
    folder.add(trial)
    folder.note(trial, "started")
    folder.finish(trial, "finished", Outcome(score, {}))


def drain(queue: TrialQueue) -> list[Trial]:
    trials = []
    while trial := queue.next():
        trials.append(trial)
    return trials


def test_the_grid_is_every_setting() -> None:
    assert space_size(SPACE) == 3 * 2
    settings = expand(SPACE)
    assert settings[:3] == [
        {"a.depth": 0, "a.scale": "one"},
        {"a.depth": 0, "a.scale": "sqrt"},
        {"a.depth": 1, "a.scale": "one"},
    ]
    assert [setting_at(SPACE, index) for index in range(6)] == settings


def test_random_settings_are_different_ones_of_the_grid() -> None:
    drawn = draw(SPACE, 4, seed=1)
    assert len(drawn) == len({tuple(setting.items()) for setting in drawn}) == 4
    assert all(setting in expand(SPACE) for setting in drawn)
    assert drawn == draw(SPACE, 4, seed=1) != draw(SPACE, 4, seed=2)
    assert sorted(draw(SPACE, 99, seed=1), key=str) == sorted(expand(SPACE), key=str)


def test_number_of_trials() -> None:
    assert number_of_trials(SPACE, SearchConfig(seeds=(0, 1))) == 3 * 2 * 2
    assert number_of_trials(SPACE, SearchConfig(search="random", settings=4, seeds=(0, 1, 2))) == 4 * 3
    assert number_of_trials(SPACE, SearchConfig(search="optuna", settings=99, seeds=(0,))) == 3 * 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"search": "random"}, "settings is required"),
        ({"settings": 3}, "search grid, which tries all settings"),
        ({"seeds": [1, 1]}, "seeds contains a seed twice"),
        ({"seeds": []}, "at least 1 item"),
        ({"hours": 0}, "greater than 0"),
    ],
)
def test_wrong_searches(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_settings(SearchConfig, fields, where="sweep")


def test_all_settings_are_tried_with_the_first_seed_first(folder: SweepFolder) -> None:
    trials = drain(TrialQueue(SPACE, SearchConfig(seeds=(5, 7)), folder))
    assert [trial.seed for trial in trials] == [5] * 6 + [7] * 6
    assert [trial.setting for trial in trials] == expand(SPACE) * 2
    assert len({trial.key for trial in trials}) == 12


def test_finished_trials_are_not_repeated(folder: SweepFolder) -> None:
    config = SearchConfig(seeds=(0, 1))
    every = drain(TrialQueue(SPACE, config, folder))
    for trial in every[::2]:
        finish(folder, trial, 1.0)
    assert drain(TrialQueue(SPACE, config, folder)) == every[1::2]
    wider: Space = {**SPACE, "a.depth": (0, 1, 2, 3)}  # a sweep may be extended
    assert len(drain(TrialQueue(wider, config, folder))) == 6 + 2 * 2


def score_of(trial: Trial) -> float:
    return float(str(trial.setting["a.depth"])) - 0.1 * trial.seed


def test_optuna_runs_all_seeds_of_a_setting_together(folder: SweepFolder) -> None:
    config = SearchConfig(search="optuna", settings=5, seeds=(0, 1))
    queue = TrialQueue(SPACE, config, folder)
    trials = []
    while trial := queue.next():
        trials.append(trial)
        finish(folder, trial, score_of(trial))
        queue.tell(trial)
    assert [trial.seed for trial in trials] == [0, 1] * 5
    assert len({tuple(trial.setting.items()) for trial in trials}) == 5
    assert queue.study is not None
    reported = sorted(study.value for study in queue.study.study.get_trials() if study.value is not None)
    means = [(score_of(a) + score_of(b)) / 2 for a, b in zip(trials[::2], trials[1::2], strict=True)]
    assert reported == pytest.approx(sorted(means))


def test_optuna_resumes_after_a_kill(folder: SweepFolder) -> None:
    config = SearchConfig(search="optuna", settings=4, seeds=(0, 1))
    queue = TrialQueue(SPACE, config, folder)
    started = [trial for trial in (queue.next() for _ in range(3)) if trial]
    for trial in started[:2]:
        finish(folder, trial, score_of(trial))
        queue.tell(trial)
    folder.add(started[2])
    folder.note(started[2], "started")

    again = SweepFolder(folder.path)
    again.open()
    rest = TrialQueue(SPACE, config, again)
    assert rest.study is not None
    assert [study.value for study in rest.study.study.get_trials()] == [pytest.approx(score_of(started[0]) - 0.05)]
    trials = drain(rest)
    assert trials[0] == started[2]
    assert len(trials) == 2 * 4 - 2
    assert started[0] not in trials


def test_optuna_ignores_settings_outside_the_space(folder: SweepFolder) -> None:
    finish(folder, Trial({"a.depth": 9, "a.scale": "one"}, 0), 5.0)
    trials = drain(TrialQueue(SPACE, SearchConfig(search="optuna", settings=3, seeds=(0,)), folder))
    assert len(trials) == 3
    assert all(trial.setting in expand(SPACE) for trial in trials)


def test_optuna_tries_all_settings_of_a_small_space(folder: SweepFolder) -> None:
    trials = drain(TrialQueue(SPACE, SearchConfig(search="optuna", settings=50, seeds=(0,)), folder))
    assert sorted((dict(trial.setting) for trial in trials), key=str) == sorted(expand(SPACE), key=str)


def test_failed_setting_is_reported_to_optuna(folder: SweepFolder) -> None:
    queue = TrialQueue(SPACE, SearchConfig(search="optuna", settings=2, seeds=(0,)), folder)
    trial = queue.next()
    assert trial is not None
    folder.add(trial)
    (folder.trial_folder(trial) / "failed.json").write_text('{"error": "no such model"}', encoding="utf-8")
    queue.tell(trial)
    assert queue.study is not None
    assert [study.state.name for study in queue.study.study.get_trials()] == ["FAIL"]
    assert queue.next() is not None
