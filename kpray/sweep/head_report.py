"""The report of the sweep over heads: the chosen heads, their scores on the test data, figures and a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kpray.cluster.job import writing
from kpray.corpus.writing import write_text
from kpray.metrics.bootstrap import bootstrap_interval, paired_bootstrap
from kpray.printing import print_tables
from kpray.report.heat_map import draw_heads
from kpray.report.page import RunDetails, Section, write_pages
from kpray.report.sweep_figures import draw_parallel
from kpray.report.tables import Cell
from kpray.report.trials import Setting, TrialRow
from kpray.samrank.combine import (
    Choice,
    HeadTable,
    all_scorings,
    choose_heads,
    f1_of_heads_together,
    load_tables,
)
from kpray.samrank.config import SAMRankConfig
from kpray.samrank.heads import CUTOFFS, Mode, Scoring, all_heads
from kpray.sweep.reports import crash_rows
from kpray.sweep.trials import Spent
from kpray.text.candidates import CandidateRule
from kpray.versions import versions

Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class HeadData:
    """The scores of all heads on a data set.

    Attributes:
        name: name in tables.
        tables: model -> files with the scores of its shards, in order.
    """

    name: str
    tables: Mapping[str, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class HeadReport:
    """The data of the report.

    Attributes:
        run: how the report was made.
        samrank: settings that were the same in all trials.
        modes: ways to redistribute global scores.
        rules: rules of candidate phrases.
        scores: scores of Eq. 6: `both`, or one of its parts.
        models: all models.
        valid: data sets to choose heads on.
        test: data sets for the comparison only.
        most: maximum number of heads together.
        cutoff: k of the F1@k that heads are chosen by.
        seed: random seed of the bootstrap.
        trials: all trials.
        spent: time of all trials.
    """

    run: RunDetails
    samrank: SAMRankConfig
    modes: Sequence[Mode]
    rules: Sequence[CandidateRule]
    scores: Sequence[str]
    models: Sequence[str]
    valid: Sequence[HeadData]
    test: Sequence[HeadData]
    most: int
    cutoff: int
    seed: int
    trials: Sequence[TrialRow]
    spent: Spent

    @property
    def scorings(self) -> list[Scoring]:
        """All scoring methods of the sweep."""
        return all_scorings(self.rules, self.scores, self.modes)

    @property
    def column(self) -> int:
        """Index of the cutoff in `CUTOFFS`."""
        return CUTOFFS.index(self.cutoff)


def write_head_report(report: HeadReport, folder: Path) -> None:
    """Choose heads, and write `report.md`, `report.html`, `report.json`, `figures/` and `best.yaml`.

    Raises:
        UserError: a file cannot be written.
    """
    import yaml

    valid = {model: {data.name: load_tables(data.tables[model]) for data in report.valid} for model in report.models}
    chosen = choose(report, {model: list(tables.values()) for model, tables in valid.items()})
    model, best = chosen[0]
    test = {model: {data.name: load_tables(data.tables[model]) for data in report.test} for model in report.models}
    compared = comparison_rows(report, chosen, test)
    alone = scoring_rows(report, valid, test)
    choices = [_choice_row(report, *each) for each in chosen]
    settings = configure(report, model, best)
    configuration = {"predictor": "samrank", "samrank": settings.model_dump(mode="json")}
    with writing(folder):
        (folder / "figures").mkdir(exist_ok=True)
        sections = [
            Section("Chosen on the validation data", _how(report), rows=choices),
            Section("On the test data", _ORACLE if report.test else "No test data were given.", rows=compared),
            Section("The best single head of each scoring method", _SINGLE, rows=alone),
            Section("Figures", images=_figures(report, model, best.scoring, valid, test, folder / "figures")),
            Section("Cost", rows=_cost(report)),
        ]
        if crashes := crash_rows(report.trials):
            sections.append(Section("Trials that crashed or failed", rows=crashes))
        contents = yaml.safe_dump(configuration, sort_keys=False)
        names = f"{best.how}, heads {', '.join(settings.heads)}"
        write_text(f"# SAMRank, {names}: chosen by {folder.name}\n{contents}", folder / "best.yaml")
        sections.append(Section("Best configuration", "`kpray extract --config best.yaml FILE...`", code=contents))
        write_pages(folder, "SAMRank: which heads", report.run, sections)
        values = {"choices": choices, "test": compared, "alone": alone, "cost": _cost(report), "versions": versions()}
        write_text(json.dumps(values, indent=2) + "\n", folder / "report.json")
    print_tables({"chosen on the validation data": choices, "on the test data": [_short(row) for row in compared]})


def _short(row: Row) -> Row:
    """The columns of a comparison row that fit on a terminal."""
    left_out = ("picked", "model", "candidates", "score", "redistribution", "weighting", "p")
    return {name: value for name, value in row.items() if name not in left_out}


def choose(report: HeadReport, valid: Mapping[str, Sequence[HeadTable]]) -> list[tuple[str, Choice]]:
    """Choose heads by the validation data: for each method of choosing, the best model and its heads, best first."""
    best: dict[str, tuple[str, Choice]] = {}
    for model, tables in valid.items():
        for choice in choose_heads(
            tables,
            report.scorings,
            report.modes,
            max_heads=report.most,
            cutoff=report.cutoff,
            merge=report.samrank.merge_stems,
        ):
            if choice.how not in best or choice.score > best[choice.how][1].score:
                best[choice.how] = (model, choice)
    return sorted(best.values(), key=lambda each: -each[1].score)


def configure(report: HeadReport, model: str, choice: Choice) -> SAMRankConfig:
    """The configuration of a choice."""
    names = all_heads(model)
    heads = tuple(names[head] for head in choice.heads)
    return report.samrank.model_copy(update={"model": model, "heads": heads, **asdict(choice.scoring)})


def comparison_rows(
    report: HeadReport, chosen: Sequence[tuple[str, Choice]], test: Mapping[str, Mapping[str, HeadTable]]
) -> list[Row]:
    """Scores of the chosen heads and of the oracle on each test data set: F1, intervals, differences to one head."""
    rows: list[Row] = []
    for data in report.test:
        merge = report.samrank.merge_stems
        systems: list[tuple[str, str, Choice]] = [("chosen on validation", model, choice) for model, choice in chosen]
        systems.append(("oracle: best on these test data", *_oracle(report, data.name, test)))
        f1 = [
            100 * f1_of_heads_together(test[model][data.name], choice.scoring, report.modes, choice.heads, merge)
            for _, model, choice in systems
        ]
        single = f1[next(index for index, (_, _, choice) in enumerate(systems) if choice.how == "one head")]
        for (picked, model, choice), scores in zip(systems, f1, strict=True):
            low, high = bootstrap_interval(scores, seed=report.seed)
            test_ = paired_bootstrap(scores, single, seed=report.seed)
            column = report.column
            rows.append(
                {
                    "data": data.name,
                    "picked": picked,
                    **_choice_cells(report, model, choice),
                    **{f"F1@{cutoff}": float(scores[:, index].mean()) for index, cutoff in enumerate(CUTOFFS)},
                    f"F1@{report.cutoff}, 95%": f"{low[column]:.2f} to {high[column]:.2f}",
                    "minus the chosen single head": None if scores is single else float(test_.difference[column]),
                    "95%": None if scores is single else f"{test_.low[column]:.2f} to {test_.high[column]:.2f}",
                    "p": None if scores is single else f"{test_.p_value[column]:.3f}",
                }
            )
    return rows


def scoring_rows(
    report: HeadReport,
    valid: Mapping[str, Mapping[str, HeadTable]],
    test: Mapping[str, Mapping[str, HeadTable]],
) -> list[Row]:
    """For each scoring method: the head chosen on the validation data, its F1 on all data, and the test oracle."""
    rows: list[Row] = []
    for model in report.models:
        names = all_heads(model)
        for index, scoring in enumerate(report.scorings):
            f1 = {
                name: 100 * table.f1[:, index, :, report.column].mean(axis=0)
                for name, table in {**valid[model], **test[model]}.items()
            }
            means = np.mean([f1[name] for name in valid[model]], axis=0)
            head = int(means.argmax())
            row: Row = {**({"model": model} if len(report.models) > 1 else {}), **_scoring_cells(scoring)}
            row |= {"head": names[head], **{name: float(scores[head]) for name, scores in f1.items()}}
            for name in test[model]:
                row[f"oracle on {name}"] = f"{names[int(f1[name].argmax())]}: {f1[name].max():.2f}"
            rows.append(row)
    return rows


def _oracle(report: HeadReport, name: str, test: Mapping[str, Mapping[str, HeadTable]]) -> tuple[str, Choice]:
    """The best single head on a test data set, over all models and scoring methods."""
    found = []
    for model in report.models:
        means = test[model][name].f1[..., report.column].mean(axis=0)
        scoring, head = np.unravel_index(int(means.argmax()), means.shape)
        choice = Choice("oracle", report.scorings[int(scoring)], (int(head),), float(means.max()))
        found.append((model, choice))
    return max(found, key=lambda each: each[1].score)


def _choice_row(report: HeadReport, model: str, choice: Choice) -> Row:
    return {**_choice_cells(report, model, choice), f"validation F1@{report.cutoff}": 100 * choice.score}


def _choice_cells(report: HeadReport, model: str, choice: Choice) -> Row:
    names = all_heads(model)
    return {
        "how": choice.how,
        "heads": " ".join(names[head] for head in choice.heads),
        **({"model": model} if len(report.models) > 1 else {}),
        **_scoring_cells(choice.scoring),
    }


def _scoring_cells(scoring: Scoring) -> Row:
    cells: Row = dict(asdict(scoring))
    if scoring.score == "global":
        return {**cells, "redistribution": "–", "weighting": "–"}
    return {**cells, "weighting": "–"} if scoring.redistribution == "forward" else cells


def _figures(
    report: HeadReport,
    model: str,
    scoring: Scoring,
    valid: Mapping[str, Mapping[str, HeadTable]],
    test: Mapping[str, Mapping[str, HeadTable]],
    folder: Path,
) -> dict[str, str]:
    names = all_heads(model)
    layers = int(names[-1].partition("-")[0])
    metric = f"F1@{report.cutoff}"
    tables = {**valid[model], **{f"{name} (test)": table for name, table in test[model].items()}}
    images = {}
    for score in report.scores:
        for redistribution in dict.fromkeys(mode[0] for mode in report.modes):
            index = next(
                (
                    index
                    for index, other in enumerate(report.scorings)
                    if (other.candidates, other.score, other.redistribution)
                    == (scoring.candidates, score, redistribution)
                ),
                None,
            )
            if index is None:
                continue  # the global score has no redistribution
            name = f"heads_{score}" + ("" if score == "global" else f"_{redistribution}")
            means = {
                data: 100 * table.f1[:, index, :, report.column].mean(axis=0).reshape(layers, -1)
                for data, table in tables.items()
            }
            draw_heads(means, folder / f"{name}.svg", metric)
            direction = "" if score == "global" else f", redistribution {redistribution}"
            images[f"figures/{name}.svg"] = f"{metric} of every head: score {score}{direction}"
    lines: list[tuple[Setting, float]] = []
    for each in report.models:
        for index, method in enumerate(report.scorings):
            f1 = [100 * table.f1[:, index, :, report.column].mean(axis=0) for table in valid[each].values()]
            setting = {"model": Path(each).name, **asdict(method)}
            lines.append((setting, float(np.mean(f1, axis=0).max())))
    draw_parallel(lines, folder / "parallel.svg", "The best head of each scoring method", f"validation {metric}")
    return {**images, "figures/parallel.svg": f"validation {metric} of the best head of each scoring method"}


def _cost(report: HeadReport) -> list[Row]:
    finished = [trial for trial in report.trials if trial.state == "finished"]
    sums = {
        name: sum(trial.metrics[name] for trial in finished) for name in ("documents", "seconds", "processor_seconds")
    }
    return [
        {
            "passes": len(finished),
            "documents": round(sums["documents"]),
            "seconds of passes": sums["seconds"],
            "processor seconds": sums["processor_seconds"],
            "hours, by the clock": report.spent.hours,
            "device-hours": report.spent.device_hours,
        }
    ]


def _how(report: HeadReport) -> str:
    names = ", ".join(data.name for data in report.valid)
    return (
        f"Heads are chosen by mean F1@{report.cutoff} with the protocol samrank over {names}, with equal weights. "
        "`one head` is the best single head. `best alone` combines the heads that are best individually, at most "
        f"{report.most}. `greedy` adds one head at a time, always the one that helps most. Several heads are combined "
        "as in SAMRank: the phrase scores of each head are divided by their maximum and then averaged."
    )


_ORACLE = (
    "Only the oracle is chosen on these data: it is the single head that is best on the data it is scored on, as the "
    "paper reports it. It cannot be known in advance. Intervals come from a bootstrap over documents. Differences are "
    "paired by document."
)
_SINGLE = "`head` is chosen on the validation data. The other columns are its F1 on all data sets."
