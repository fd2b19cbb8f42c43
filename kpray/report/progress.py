"""How far a long job is: a live line on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Live

from kpray.log import as_json, say

_SECONDS_BETWEEN_LINES = 10.0


def is_live(console: Console) -> bool:
    """Whether something live may stand on a console: a terminal that nothing reads JSON from."""
    return console.is_terminal and not as_json()


class _LiveLine:
    """A line on standard error that lives as long as a block, where that is a terminal; log lines go above it.

    Args:
        columns: what it shows before the time that has passed and the time that is left.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        console = Console(stderr=True)
        self.is_live = is_live(console)
        self.live = Live(
            *columns,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not self.is_live,
        )

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()


class Progress(_LiveLine):
    """Counts documents and the share of the input that is done; writes to standard error.

    Args:
        total: size of the input in bytes.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.documents = total, 0, 0
        self.new = self.new_done = 0  # documents and bytes that this run did since `started`
        self.started: float | None = None  # when its first were done: what comes before is the start of the workers
        self.last_line = time.monotonic()
        super().__init__(
            TextColumn("{task.fields[documents]:,} documents"),
            BarColumn(),
            TextColumn("{task.percentage:.0f}%  {task.fields[rate]:.1f} documents/s"),
        )
        self.task = self.live.add_task("", total=max(total, 1), documents=0, rate=0.0)

    def advance(self, size: int, documents: int, *, new: bool) -> None:
        """Add what was finished: bytes of the input, documents, and whether this run did them."""
        self.done += size
        self.documents += documents
        now = time.monotonic()
        if new and self.started is None:
            self.started = self.last_line = now
        elif new:
            self.new += documents
            self.new_done += size
        seconds = max(now - (self.started or now), 1e-9)
        rate = self.new / seconds
        self.live.update(self.task, completed=self.done, documents=self.documents, rate=rate)
        if not self.is_live and now - self.last_line >= _SECONDS_BETWEEN_LINES and self.new_done:
            self.last_line = now
            left = seconds * (self.total - self.done) / self.new_done
            text = f"{self.documents:,} documents, {100 * self.done / self.total:.0f}% of the input, "
            text += f"{rate:.1f} documents/s, about {left:.0f} s left"
            share = self.done / self.total
            say("progress", text, documents=self.documents, share=share, documents_per_second=rate, left_s=left)


class TrainingProgress(_LiveLine):
    """Shows what a training tells of itself; writes to standard error."""

    def __init__(self) -> None:
        self.last_line = 0.0
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("step {task.completed:,.0f} of {task.total:,.0f}"),
        )
        self.task: TaskID | None = None
        self.first: tuple[float, int] | None = None  # when this run had its first line, and of which step it was

    def show(self, values: Mapping[str, Any]) -> None:
        """Show a line of metrics.jsonl."""
        if "note" in values:
            say("progress", values["note"])
        elif "validation" in values:
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in values["validation"].items())
            text = f"step {values['step']:,}: validation score {values['score']:.4g}  {metrics}"
            say("progress", text, **values)
        elif "loss" in values:
            self._advance(values)

    def _advance(self, values: Mapping[str, Any]) -> None:
        step, steps, now = values["step"], values["steps"], time.monotonic()
        parts = [f"{name} {values[name]:.4g}" for name in values if name not in _OTHERS]
        text = "  ".join([*parts, f"{values['tokens_per_second']:,.0f} tokens/s"])
        if self.task is None:
            self.task = self.live.add_task(text, total=steps)
        self.live.update(self.task, completed=step, description=text)
        self.first = self.first or (now, step)
        if not self.is_live and now - self.last_line >= _SECONDS_BETWEEN_LINES:
            self.last_line = now
            done = step - self.first[1]
            left = f", about {(now - self.first[0]) * (steps - step) / done:.0f} s left" if done else ""
            say("progress", f"step {step:,} of {steps:,}  {text}{left}", **values)


# What a line of metrics.jsonl has besides the losses.
_OTHERS = ("step", "steps", "epoch", "documents", "tokens_per_second", "padding", "lr", "grad_norm", "skipped")
