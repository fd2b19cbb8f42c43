"""How far a sweep is: a live table on a terminal, a line for each event in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live

from kpray.log import say
from kpray.report.progress import is_live
from kpray.report.tables import Cell, console_table
from kpray.report.trials import TrialRow, short_setting

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_ROWS = 15
_SECONDS_BETWEEN_TABLES = 0.5


class SweepProgress:
    """The trials of a sweep, on standard error, as long as a block lasts.

    Args:
        total: number of trials.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.rows: dict[str, dict[str, Cell]] = {}
        self.states: dict[str, str] = {}
        self.cost = (0.0, 0.0)
        self.last = 0.0
        console = Console(stderr=True)
        self.is_live = is_live(console)
        self.live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        if self.is_live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_live:
            self.live.update(self.table(), refresh=True)
            self.live.stop()

    def show(self, trial: TrialRow, event: str = "") -> None:
        """Show where a trial stands.

        Args:
            trial: all that there is to tell of it.
            event: what has just happened to it; nothing where that was in an earlier run.
        """
        running = event in ("started", "report")
        state = "running" if running else "waits to be tried again" if event == "crashed" else trial.state
        setting = short_setting(trial.setting)
        self.states[trial.key] = state
        self.rows.pop(trial.key, None)  # the latest stands last
        self.rows[trial.key] = {
            **setting,
            "seed": trial.seed,
            "state": state,
            "step": trial.step or None,
            "score": trial.score,
            "starts": trial.attempts,
            "minutes": trial.seconds / 60,
        }
        if event and event != "report" and not self.is_live:
            named = ", ".join(f"{name} {value}" for name, value in {**setting, "seed": trial.seed}.items())
            score = f", score {trial.score:.4g}" if trial.score is not None else ""
            why = f": {trial.crashes[-1]}" if event in ("crashed", "failed") and trial.crashes else ""
            text = f"{named}: {event}{score}{why} ({self.counts()})"
            say("trial", text, happened=event, **self.rows[trial.key])

    def tick(self, hours: float, device_hours: float) -> None:
        """Time has passed."""
        self.cost = (hours, device_hours)
        now = time.monotonic()
        if self.is_live and now - self.last > _SECONDS_BETWEEN_TABLES:
            self.last = now
            self.live.update(self.table(), refresh=True)

    def counts(self) -> str:
        """How many trials are in which state."""
        states = list(self.states.values())
        ended = sum(state in ("finished", "stopped") for state in states)
        parts = [f"{ended:,} of {self.total:,} trials done"]
        parts += [f"{states.count(state):,} {state}" for state in ("stopped", "failed", "running") if state in states]
        return ", ".join(parts)

    def table(self) -> RenderableType:
        """The trials that something happened to last."""
        rows = list(self.rows.values())[-_MOST_ROWS:]
        title = f"{self.counts()}; {self.cost[0]:.2f} hours, {self.cost[1]:.2f} device-hours"
        return console_table(rows, title=title)
