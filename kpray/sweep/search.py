"""The settings that a sweep tries, and their order."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import product
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kpray.report.trials import Setting, Value
from kpray.settings import Settings
from kpray.sweep.trials import SweepFolder, Trial

Space = Mapping[str, Sequence[Value]]  # field -> the values that are tried


class SweepConfig(Settings):
    """How trials are run."""

    hours: Annotated[float, Field(gt=0)] | None = None
    """Hours by the clock that a sweep may take, earlier runs in its folder included; null: no limit."""
    at_once: Annotated[int, Field(ge=1)] | None = None
    """Most trials at the same time; null: as many as the cluster has room for."""
    retries: Annotated[int, Field(ge=0)] = 1
    """Times that a trial which crashed is tried again."""


class SearchConfig(SweepConfig):
    """Which settings are tried."""

    search: Literal["grid", "random", "optuna"] = "grid"
    """All settings of the space; some at random; or those that Optuna's TPE takes for promising."""
    settings: Annotated[int, Field(ge=1)] | None = None
    """Settings to try, of a search that is not the grid's."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0, 1, 2)
    """Each setting is tried with each of these seeds."""
    search_seed: Annotated[int, Field(ge=0)] = 0
    """Of the search itself."""

    @model_validator(mode="after")
    def _number_of_settings(self) -> SearchConfig:
        if self.search != "grid" and self.settings is None:
            raise ValueError(f"settings is required: the number of settings that a {self.search} search tries")
        if self.search == "grid" and self.settings is not None:
            raise ValueError("settings cannot be combined with search grid, which tries all settings")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds contains a seed twice")
        return self


def space_size(space: Space) -> int:
    """Number of settings."""
    return math.prod(len(values) for values in space.values())


def setting_at(space: Space, index: int) -> dict[str, Value]:
    """The setting at an index, 0 to `space_size(space)` - 1. The value of the last field changes fastest."""
    setting = {}
    for name, values in reversed(list(space.items())):
        index, digit = divmod(index, len(values))
        setting[name] = values[digit]
    return {name: setting[name] for name in space}


def expand(space: Space) -> list[dict[str, Value]]:
    """Every setting."""
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def draw(space: Space, number: int, seed: int) -> list[dict[str, Value]]:
    """Draw `number` different settings at random, or all settings if there are fewer."""
    size = space_size(space)
    return [setting_at(space, index) for index in Random(seed).sample(range(size), min(number, size))]


def number_of_trials(space: Space, config: SearchConfig) -> int:
    """Number of trials of the whole search, ignoring its time limit."""
    size = space_size(space)
    return len(config.seeds) * (size if config.settings is None else min(size, config.settings))


def describe_search(space: Space, config: SearchConfig) -> str:
    """Describe a search, such as `6 settings of 3 depth x 2 scale, each with 2 seeds: 12 trials`."""
    trials = number_of_trials(space, config)
    shape = " x ".join(f"{len(values)} {name.rpartition('.')[2]}" for name, values in space.items())
    how = {"grid": "", "random": " at random", "optuna": " by Optuna"}[config.search]
    seeds = f", each with {len(config.seeds)} seeds" if len(config.seeds) > 1 else ""
    return f"{trials // len(config.seeds):,} settings{how} of {shape}{seeds}: {trials:,} trials"


def describe_limit(config: SweepConfig) -> str:
    """Describe the time limit, such as `at most 4 hours`."""
    return "no time limit" if config.hours is None else f"at most {config.hours:,g} hours"


def with_setting(values: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """Copy the values of a configuration and replace those of a setting (dotted field -> value)."""
    changed = json.loads(json.dumps(dict(values)))
    for name, value in setting.items():
        section = changed
        *above, last = name.split(".")
        for part in above:
            section = section[part]
        section[last] = value
    return dict(changed)


class TrialQueue:
    """The trials that are still to run, one after another.

    Grid and random search try all settings with the first seed, then all with the second. A sweep that reaches its time
    limit has then tried as many settings as possible. Optuna needs the mean score of a setting, so all seeds of a
    setting are run together.
    """

    def __init__(self, space: Space, config: SearchConfig, folder: SweepFolder) -> None:
        self.space, self.config, self.folder = space, config, folder
        self.waiting: deque[Trial] = deque()
        self.study: _Study | None = None
        if config.search == "optuna":
            self.study = _Study(space, config)
            for setting in map(dict, dict.fromkeys(tuple(trial.setting.items()) for trial in folder.started())):
                if all(setting[name] in values for name, values in space.items()):  # the space may have changed
                    self._take(setting)
        else:
            settings = expand(space) if config.settings is None else draw(space, config.settings, config.search_seed)
            trials = [Trial(setting, seed) for seed in config.seeds for setting in settings]
            self.waiting.extend(trial for trial in trials if folder.result(trial) is None)

    def next(self) -> Trial | None:
        """The next trial; None: no trial is left."""
        while not self.waiting and self.study and (setting := self.study.ask()):
            self._take(setting)
        return self.waiting.popleft() if self.waiting else None

    def tell(self, trial: Trial) -> None:
        """Report that a trial has ended, with or without a result."""
        if self.study:
            results = [self.folder.result(other) for other in self._seeds(trial.setting)]
            failed = [self.folder.failure(other) for other in self._seeds(trial.setting)]
            if all(result or failure for result, failure in zip(results, failed, strict=True)):
                scores = [result["score"] for result in results if result and result["score"] is not None]
                self.study.tell(trial.setting, sum(scores) / len(scores) if scores else None)

    def _seeds(self, setting: Setting) -> list[Trial]:
        return [Trial(setting, seed) for seed in self.config.seeds]

    def _take(self, setting: Setting) -> None:
        """Queue the unfinished trials of a setting. If none is left, tell the study the result."""
        assert self.study
        trials = self._seeds(setting)
        self.study.take(setting)
        left = [trial for trial in trials if self.folder.result(trial) is None]
        self.waiting.extend(left)
        if not left:
            self.tell(trials[0])


class _Study:
    """Optuna's search over a space. Numbers are represented by their index in order, other values as categories."""

    def __init__(self, space: Space, config: SearchConfig) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.space = optuna, space
        self.most = min(config.settings or 1, space_size(space))
        self.sampler = optuna.samplers.TPESampler(seed=config.search_seed)
        self.study = optuna.create_study(direction="maximize", sampler=self.sampler)
        self.random = Random(config.search_seed)
        self.taken: dict[tuple[int, ...], Any] = {}  # indices of the values -> the study's trial, None once reported
        self.distributions: dict[str, Any] = {
            name: optuna.distributions.IntDistribution(0, len(values) - 1)
            if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
            else optuna.distributions.CategoricalDistribution(range(len(values)))
            for name, values in space.items()
        }

    def ask(self) -> dict[str, Value] | None:
        """A setting that has not been tried yet; None: enough settings have been tried."""
        if len(self.taken) >= self.most:
            return None
        for _ in range(20):  # Optuna may suggest a good setting again
            trial = self.study.ask(self.distributions)
            indices = tuple(trial.params[name] for name in self.space)
            if indices not in self.taken:
                self.taken[indices] = trial
                return self._setting(indices)
            self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        left = list(range(space_size(self.space)))
        self.random.shuffle(left)
        for index in left:
            setting = setting_at(self.space, index)
            if self._indices(setting) not in self.taken:
                return setting
        raise AssertionError("at least one setting is not taken")

    def take(self, setting: Setting) -> None:
        """Record that a setting is being tried, whether `ask` returned it or an earlier run started it."""
        self.taken.setdefault(self._indices(setting), None)

    def tell(self, setting: Setting, score: float | None) -> None:
        """Report the mean score over the seeds of a setting; None: all trials failed."""
        indices = self._indices(setting)
        trial, self.taken[indices] = self.taken[indices], None
        states = self.optuna.trial.TrialState
        if trial is not None:
            self.study.tell(trial, score, state=states.COMPLETE if score is not None else states.FAIL)
        elif score is not None:
            parameters = dict(zip(self.space, indices, strict=True))
            self.study.add_trial(
                self.optuna.trial.create_trial(params=parameters, distributions=self.distributions, value=score)
            )

    def _setting(self, indices: tuple[int, ...]) -> dict[str, Value]:
        return {name: values[index] for (name, values), index in zip(self.space.items(), indices, strict=True)}

    def _indices(self, setting: Setting) -> tuple[int, ...]:
        return tuple(list(self.space[name]).index(setting[name]) for name in self.space)
