"""Results of a sweep by setting: means over seeds with confidence intervals, and the best setting."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kpray.metrics.bootstrap import LEVEL
from kpray.report.trials import Setting, TrialRow, Value


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its 95% confidence interval; the bounds are None for a single seed."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class SettingRow:
    """Results of one setting.

    Attributes:
        setting: field -> value.
        trials: the trials of the setting, one for each seed.
        score: score over the finished seeds; None if no seed is finished.
        metrics: metric -> estimate over the finished seeds.
        difference: score minus the score of the best setting, over the seeds that both have finished; None for the
            best setting.
    """

    setting: Setting
    trials: tuple[TrialRow, ...]
    score: Estimate | None
    metrics: Mapping[str, Estimate]
    difference: Estimate | None = None

    @property
    def finished(self) -> int:
        """Number of finished seeds."""
        return sum(trial.state == "finished" for trial in self.trials)


def seed_interval(values: Sequence[float]) -> Estimate:
    """Mean and 95% interval of independent values: mean ± t s / sqrt(n) with standard deviation s (Student, 1908).

    Args:
        values: at least one value.
    """
    from scipy.stats import t

    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = float(t.ppf((1 + LEVEL) / 2, df=len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def summarize_settings(trials: Sequence[TrialRow]) -> list[SettingRow]:
    """One row for each setting, in the order of first trials. Means include finished seeds only."""
    groups: dict[tuple[tuple[str, Value], ...], list[TrialRow]] = {}
    for trial in trials:
        groups.setdefault(tuple(trial.setting.items()), []).append(trial)
    rows = []
    for setting, members in groups.items():
        finished = [trial for trial in members if trial.state == "finished"]
        scores = [trial.score for trial in finished if trial.score is not None]
        names = dict.fromkeys(name for trial in finished for name in trial.metrics)
        metrics = {
            name: seed_interval([trial.metrics[name] for trial in finished if name in trial.metrics]) for name in names
        }
        rows.append(SettingRow(dict(setting), tuple(members), seed_interval(scores) if scores else None, metrics))
    best = best_setting(rows)
    if best is None:
        return rows
    return [
        row if row is best else SettingRow(row.setting, row.trials, row.score, row.metrics, _difference(row, best))
        for row in rows
    ]


def best_setting(rows: Sequence[SettingRow]) -> SettingRow | None:
    """The first setting with the highest mean among those with the most finished seeds; None if no seed is finished."""
    most_seeds = max((row.finished for row in rows), default=0)
    eligible = [row for row in rows if row.score is not None and row.finished == most_seeds]
    return max(eligible, key=lambda row: row.score.mean if row.score else -math.inf, default=None)


def _difference(row: SettingRow, best: SettingRow) -> Estimate | None:
    scores, others = (
        {trial.seed: trial.score for trial in of.trials if trial.state == "finished" and trial.score is not None}
        for of in (row, best)
    )
    common = [scores[seed] - others[seed] for seed in scores if seed in others]
    return seed_interval(common) if common else None
