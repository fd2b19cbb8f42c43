"""The report of a sweep over settings: its page, figures and the best configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kpray.cluster.job import writing
from kpray.corpus.writing import write_text
from kpray.metrics.sweeps import Estimate, SettingRow, best_setting, summarize_settings
from kpray.printing import print_result, print_tables
from kpray.report.page import RunDetails, Section, write_pages
from kpray.report.sweep_figures import Point, draw_curves, draw_parallel
from kpray.report.tables import Cell
from kpray.report.trials import TrialRow, setting_text, short_setting
from kpray.sweep.search import Space
from kpray.sweep.trials import Spent
from kpray.versions import versions

Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The data of the report.

    Attributes:
        title: title of the page.
        run: how the report was made.
        score: name of the score.
        script: the job that can run the best configuration.
        trials: all started trials.
        spent: time of all trials.
        space: the values that were tried.
        output: folder of the sweep: an absolute path, or a URI in object storage.
    """

    title: str
    run: RunDetails
    score: str
    script: str
    trials: Sequence[TrialRow]
    spent: Spent
    space: Space
    output: str


def write_sweep_report(
    report: SweepReport,
    folder: Path,
    configure: Callable[[Mapping[str, Any]], dict[str, Any]],
    more: Callable[[Path], Sequence[Section]] = lambda figures: (),
) -> None:
    """Write `report.md`, `report.html`, `report.json`, `figures/` and `best.yaml`, and print the table and their paths.

    Args:
        report: the data of the report.
        folder: folder of the sweep.
        configure: makes the configuration of the best setting, for `best.yaml`.
        more: draws further figures into a folder, and returns the sections that show them.

    Raises:
        UserError: a file cannot be written.
    """
    import yaml

    rows = summarize_settings(report.trials)
    best = best_setting(rows)
    table = setting_rows(rows)
    # A terminal is too narrow for all columns.
    left_out = {name for row in rows for name in row.metrics}
    left_out |= {name.rpartition(".")[2] for name, values in report.space.items() if len(values) == 1}
    print_tables({report.title: [{name: row[name] for name in row if name not in left_out} for row in table]})
    with writing(folder):
        (folder / "figures").mkdir(exist_ok=True)
        sections = [Section("Result", text=verdict(report, rows, best)), Section("Settings", rows=table)]
        sections += _figures(report, rows, folder / "figures")
        sections += more(folder / "figures")
        if crashes := crash_rows(report.trials):
            sections.append(Section("Trials that crashed or failed", rows=crashes))
        sections.append(Section("Trials", rows=trial_rows(report.trials)))
        if best:
            contents = yaml.safe_dump(configure(best.setting), sort_keys=False)
            write_text(f"# {setting_text(best.setting)}: the best of {folder.name}\n{contents}", folder / "best.yaml")
            how = f"`python {report.script} --config best.yaml`"
            sections.append(Section("Best configuration", how, code=contents))
        write_pages(folder, report.title, report.run, sections)
        values = {"settings": table, "trials": trial_rows(report.trials), "versions": versions()}
        write_text(json.dumps(values, indent=2) + "\n", folder / "report.json")
    if best:
        command = f"python {report.script} --config {report.output}/best.yaml"
        print_result(f"best: {setting_text(best.setting)} ({interval_text(best.score)}); {command}")
    else:
        print_result("no setting is finished")
    print_result(f"the report: {report.output}/report.html")


def verdict(report: SweepReport, rows: Sequence[SettingRow], best: SettingRow | None) -> str:
    """Sentences about the best setting, the settings that are not significantly worse, and the cost."""
    counts = {state: sum(trial.state == state for trial in report.trials) for state in _STATES}
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    lines = []
    if best is None:
        lines.append("No setting is finished.")
    else:
        lines.append(
            f"Best by mean {report.score} over {best.finished} seed{'s' * (best.finished > 1)}: "
            f"{setting_text(best.setting)}, {interval_text(best.score)}."
        )
        alike = [
            setting_text(row.setting)
            for row in rows
            if row.difference and (row.difference.high is None or row.difference.high >= 0)
        ]
        if alike:
            lines.append(
                "Not significantly worse (the 95% interval of the difference, paired by seed, contains 0, or there is "
                f"only one seed): {'; '.join(alike)}."
            )
    lines.append(
        f"{len(report.trials):,} trials: {states}. Time: {report.spent.hours:.2f} hours, "
        f"{report.spent.device_hours:.2f} device-hours. Intervals are Student's t over seeds. The best score is "
        "slightly too high, because the settings are chosen on the documents that they are scored on."
    )
    return "\n".join(lines)


_STATES = ("finished", "stopped", "failed", "unfinished")


def setting_rows(rows: Sequence[SettingRow]) -> list[Row]:
    """One row for each setting, best first."""
    ordered = sorted(rows, key=lambda row: (-row.finished, -(row.score.mean if row.score else 0.0)))
    return [
        {
            **short_setting(row.setting),
            "seeds": f"{row.finished} of {len(row.trials)}",
            "score": row.score.mean if row.score else None,
            "95% interval": _bounds(row.score),
            "minus the best": row.difference.mean if row.difference else None,
            "its interval": _bounds(row.difference),
            **{name: estimate.mean for name, estimate in row.metrics.items()},
            "minutes a trial": sum(trial.seconds for trial in row.trials) / 60 / len(row.trials),
        }
        for row in ordered
    ]


def trial_rows(trials: Sequence[TrialRow]) -> list[Row]:
    """One row for each trial."""
    return [
        {
            "trial": trial.key,
            **short_setting(trial.setting),
            "seed": trial.seed,
            "state": trial.state,
            "last step": trial.step or None,
            "score": trial.score,
            "starts": trial.attempts,
            "minutes": trial.seconds / 60,
        }
        for trial in trials
    ]


def crash_rows(trials: Sequence[TrialRow]) -> list[Row]:
    """One row for each crash."""
    return [
        {"trial": trial.key, **short_setting(trial.setting), "seed": trial.seed, "then": trial.state, "error": crash}
        for trial in trials
        for crash in trial.crashes
    ]


def interval_text(estimate: Estimate | None) -> str:
    """Format an estimate, such as `42.10 (41.00 to 43.20)`."""
    if estimate is None:
        return "–"
    bounds = _bounds(estimate)
    return f"{estimate.mean:.2f}" + (f" ({bounds})" if bounds else "")


def _bounds(estimate: Estimate | None) -> str | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return f"{estimate.low:.2f} to {estimate.high:.2f}"


def _figures(report: SweepReport, rows: Sequence[SettingRow], folder: Path) -> list[Section]:
    """A curve over each numeric field with several values, and parallel coordinates of all trials."""
    scored = [row for row in rows if row.score]
    if not scored:
        return []
    images = {}
    for name, values in report.space.items():
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if not numeric or len({row.setting[name] for row in scored}) < 2:
            continue
        short = name.rpartition(".")[2]
        curves: dict[str, list[Point]] = {}
        for row in scored:
            assert row.score
            others = {other: value for other, value in row.setting.items() if other != name}
            seeds = [trial.score for trial in row.trials if trial.state == "finished" and trial.score is not None]
            point = Point(float(str(row.setting[name])), seeds, row.score.mean, row.score.low, row.score.high)
            curves.setdefault(setting_text(others), []).append(point)
        draw_curves(curves, folder / f"{short}.svg", f"{report.score} over {short}", short, report.score)
        images[f"figures/{short}.svg"] = f"{report.score} over {short}, with its interval"
    trials = [(trial.setting, trial.score) for row in scored for trial in row.trials if trial.score is not None]
    draw_parallel(trials, folder / "parallel.svg", "All trials", report.score)
    images["figures/parallel.svg"] = "every trial: its fields and its score"
    return [Section("Figures", images=images)]
