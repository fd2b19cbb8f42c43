"""Progress of a sweep: a live table on a terminal; in a log, a line for each event and one every ten seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live

from kpray.log import say
from kpray.report.progress import Activity
from kpray.report.tables import Cell, fitting_table
from kpray.report.trials import TrialRow, short_setting

if TYPE_CHECKING:
    from rich.console import RenderableType

_MAX_ROWS = 15
_SECONDS_BETWEEN_TABLES = 0.5


class SweepProgress(Activity):
    """Shows the trials of a sweep on standard error while the block lasts.

    Args:
        total: number of trials.
    """

    def __init__(self, total: int) -> None:
        super().__init__("sweep")
        self.total = total
        self.rows: dict[str, dict[str, Cell]] = {}
        self.states: dict[str, str] = {}
        self.cost = (0.0, 0.0)
        self.ended_here = 0  # trials that ended in this run, not in an earlier one
        self.last = 0.0
        self.trials = Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> Self:
        if self.is_live:
            self.trials.start()  # instead of the line of other activities
            return self
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_live:
            self.trials.update(self.table(), refresh=True)
            self.trials.stop()
        else:
            super().__exit__(kind, error, trace)

    def show(self, trial: TrialRow, event: str = "") -> None:
        """Show the state of a trial.

        Args:
            trial: all that is known of it.
            event: what has just happened to it; empty if that was in an earlier run.
        """
        running = event in ("started", "report")
        state = "running" if running else "waiting for a retry" if event == "crashed" else trial.state
        setting = short_setting(trial.setting)
        self.ended_here += event in ("finished", "stopped")
        self.states[trial.key] = state
        self.rows.pop(trial.key, None)  # the latest comes last
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
        """Note the time that the sweep has taken so far."""
        self.cost = (hours, device_hours)
        now = time.monotonic()
        if self.is_live and now - self.last > _SECONDS_BETWEEN_TABLES:
            self.last = now
            self.trials.update(self.table(), refresh=True)

    def counts(self) -> str:
        """How many trials are in which state."""
        states = list(self.states.values())
        parts = [f"{self._ended():,} of {self.total:,} trials done"]
        parts += [f"{states.count(state):,} {state}" for state in ("stopped", "failed", "running") if state in states]
        return ", ".join(parts)

    def _ended(self) -> int:
        return sum(state in ("finished", "stopped") for state in self.states.values())

    def state(self) -> tuple[str, dict[str, Any]]:
        """The line for a log, and its values."""
        seconds = time.monotonic() - self.started
        text = f"sweep: {self.counts()}, {seconds:.0f} s"
        values = {"trials": self.total, "done": self._ended(), "seconds": round(seconds, 1)}
        if self.ended_here:
            left = seconds * (self.total - self._ended()) / self.ended_here
            text += f", {self.ended_here / seconds * 60:.2g} trials/minute, about {left:.0f} s left"
            values["left_s"] = left
        return text, values

    def table(self) -> RenderableType:
        """The trials with the latest events."""
        rows = list(self.rows.values())[-_MAX_ROWS:]
        title = f"{self.counts()}; {self.cost[0]:.2f} hours, {self.cost[1]:.2f} device-hours"
        return fitting_table(rows, self.trials.console, title=title)
