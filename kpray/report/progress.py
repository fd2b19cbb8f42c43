"""Progress of long jobs: a live line on a terminal, a line at least every ten seconds in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Live
from rich.table import Column
from rich.text import Text

from kpray.log import as_json, say

# Together less than ten seconds, so that a busy machine still prints a line every ten.
_SECONDS_BETWEEN_LINES = 8.5
_SECONDS_BETWEEN_LOOKS = 0.5


def is_live(console: Console) -> bool:
    """Whether the console can show something live: it is a terminal, and no program reads JSON from it."""
    return console.is_terminal and not as_json()


class _Lines(Live):
    """A live display in which a task may have a text above its line, of any length."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from (Text(task.fields["above"]) for task in self.tasks if task.fields.get("above"))
        yield from super().get_renderables()


class Activity:
    """A part of a job that may take long, shown on standard error while the block lasts.

    A terminal shows a live line, below any log lines. In a log, a thread prints `state()` of the innermost activity
    whenever `_SECONDS_BETWEEN_LINES` have passed since the last line of progress. So a job that waits is never silent.

    Args:
        name: what happens, such as `starting Ray`; no more than a few words.
        columns: the live line, before the elapsed time; None: a spinner and the name.
    """

    def __init__(self, name: str, *columns: ProgressColumn) -> None:
        self.name = name
        self.started = time.monotonic()
        console = Console(stderr=True)
        self.is_live = is_live(console)
        shown = columns or (SpinnerColumn(), TextColumn("{task.description}", markup=False))
        self.live = _Lines(
            *shown,
            TimeElapsedColumn(),
            console=console,
            transient=not columns,
            disable=not self.is_live,
            redirect_stdout=False,  # results, which may go to a file
        )
        if not columns:
            self.live.add_task(name, total=None)

    def __enter__(self) -> Self:
        self.live.start()
        if not self.is_live:
            _LOG.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()
        if not self.is_live:
            _LOG.remove(self)

    def state(self) -> tuple[str, dict[str, Any]]:
        """The line for a log, and its values."""
        seconds = time.monotonic() - self.started
        return f"{self.name}, {seconds:.0f} s", {"activity": self.name, "seconds": round(seconds, 1)}


class _Log:
    """Prints how far the innermost activity is, at regular intervals."""

    def __init__(self) -> None:
        self.activities: list[Activity] = []
        self.lock = threading.Lock()  # the thread and the job itself print lines
        self.last_line = time.monotonic()  # a process begins with this import, or nearly
        self.ended = threading.Event()
        self.thread = threading.Thread()

    def add(self, activity: Activity) -> None:
        self.activities.append(activity)
        if len(self.activities) == 1:
            self.ended = threading.Event()
            self.thread = threading.Thread(target=self.watch, args=(self.ended,), name="progress", daemon=True)
            self.thread.start()

    def remove(self, activity: Activity) -> None:
        with self.lock:
            self.activities.remove(activity)
        if not self.activities:  # a thread that prints while the interpreter ends can crash it
            self.ended.set()
            self.thread.join()

    def watch(self, ended: threading.Event) -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            self.print_if_due()

    def print_if_due(self, *, now: bool = False) -> None:
        """Print a line if the last one is long ago.

        Args:
            now: print it in any case.
        """
        with self.lock:
            if self.activities and (now or time.monotonic() - self.last_line >= _SECONDS_BETWEEN_LINES):
                text, values = self.activities[-1].state()
                say("progress", text, **values)
                self.last_line = time.monotonic()


_LOG = _Log()


class Progress(Activity):
    """Counts documents and the finished share of the input.

    Args:
        name: what happens to the documents, such as `predicting keyphrases`.
        total: size of the input in bytes, or in any other unit.
        first: what happens before the first documents are done, for a log.
    """

    def __init__(self, name: str, total: int, first: str = "no document is done yet") -> None:
        self.before = first
        self.total, self.done, self.documents = total, 0, 0
        self.new = self.new_done = 0  # documents and bytes that this run did
        self.begun: float | None = None  # when it began with its first documents: the workers start before that
        self.seconds = self.rate = 0.0  # from `begun` to the last finished work, and documents per second in that time
        super().__init__(
            name,
            _wrapped("{task.description}: {task.fields[documents]:,} documents, {task.fields[rate]:.1f} documents/s"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:.0f}%"),
            TimeRemainingColumn(),
            TextColumn("left,"),
        )
        self.task = self.live.add_task(name, total=max(total, 1), documents=0, rate=0.0)

    def advance(self, size: int, documents: int, *, seconds: float, new: bool) -> None:
        """Add finished work.

        Args:
            size: bytes of the input.
            documents: how many documents these are.
            seconds: how long a worker needed for them. Others may have worked at the same time.
            new: whether this run did them, not an earlier one.
        """
        self.done += size
        self.documents += documents
        if new:
            now = time.monotonic()
            self.begun = now - seconds if self.begun is None else self.begun
            self.new += documents
            self.new_done += size
            self.seconds = max(now - self.begun, 1e-9)
            self.rate = self.new / self.seconds
        self.live.update(self.task, completed=self.done, documents=self.documents, rate=self.rate)

    def state(self) -> tuple[str, dict[str, Any]]:
        """The line for a log, and its values."""
        if self.begun is None:
            text, values = super().state()
            return f"{text}: {self.before}", values
        share = self.done / max(self.total, 1)
        text = f"{self.name}: {self.documents:,} documents, {100 * share:.0f}% of the input"
        values = {"activity": self.name, "documents": self.documents, "share": share}
        if self.new_done:
            whole = self.seconds * (1 + (self.total - self.done) / self.new_done)
            left = max(0.0, self.begun + whole - time.monotonic())
            text += f", {self.rate:.1f} documents/s, about {left:.0f} s left"
            values |= {"documents_per_second": self.rate, "left_s": left}
        return text, values


class TrainingProgress(Activity):
    """Shows the lines of a training's `metrics.jsonl`."""

    # What a line has besides the losses.
    _OTHERS: ClassVar = (
        "step",
        "steps",
        "epoch",
        "documents",
        "tokens_per_second",
        "padding",
        "lr",
        "grad_norm",
        "skipped",
    )

    def __init__(self) -> None:
        super().__init__(
            "training",
            BarColumn(bar_width=20),
            TextColumn("step {task.completed:,.0f} of {task.total:,.0f},"),
            TimeRemainingColumn(),
            TextColumn("left,"),
        )
        self.task: TaskID | None = None
        self.first: tuple[float, int] | None = None  # when this run had its first line, and its step
        self.latest = self.started  # when it had its last line
        self.text, self.losses, self.values = "", "", dict[str, Any]()
        self.left: float | None = None  # seconds after `latest`
        self.validating = ""  # what a validation reads, while it runs

    def show(self, values: Mapping[str, Any]) -> None:
        """Show a line of `metrics.jsonl`."""
        if "validating" in values:
            self._validates(values["validating"])
        elif "note" in values:
            say("progress", values["note"])
        elif "validation" in values:
            self._validates("")
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in values["validation"].items())
            text = f"step {values['step']:,}: validation score {values['score']:.4g}  {metrics}"
            say("progress", text, **values)
        elif "loss" in values:
            self._advance(values)

    def _validates(self, documents: str) -> None:
        """A validation on these documents begins; empty: it has ended."""
        self.validating, self.latest = documents, time.monotonic()
        if self.task is not None:
            self.live.update(self.task, above=f"validating on {documents}" if documents else self.losses)

    def _advance(self, values: Mapping[str, Any]) -> None:
        step, steps, now = values["step"], values["steps"], time.monotonic()
        parts = [f"{name} {values[name]:.4g}" for name in values if name not in self._OTHERS]
        self.losses = "  ".join([*parts, f"{values['tokens_per_second']:,.0f} tokens/s"])
        if self.task is None:
            self.task = self.live.add_task(self.name, total=steps, above=self.losses)
        self.live.update(self.task, completed=step, above=self.losses)
        self.validating = ""  # also where the validation was interrupted
        is_first = self.first is None
        self.first = self.first or (now, step)
        done = step - self.first[1]
        self.left = (now - self.first[0]) * (steps - step) / done if done else None
        self.text, self.values, self.latest = f"step {step:,} of {steps:,}  {self.losses}", dict(values), now
        if is_first and not self.is_live:
            _LOG.print_if_due(now=True)

    def state(self) -> tuple[str, dict[str, Any]]:
        """The line for a log, and its values."""
        if not self.text:
            text, values = super().state()
            return f"{text}: no step is reported yet", values
        seconds = time.monotonic() - self.latest
        if self.validating:
            return f"{self.text}, validating on {self.validating}, {seconds:.0f} s", self.values
        since = f" ({seconds:.0f} s ago)" if seconds > _SECONDS_BETWEEN_LINES else ""
        left = "" if self.left is None else f", about {max(0.0, self.left - seconds):.0f} s left"
        return self.text + since + left, self.values


def _wrapped(text: str) -> TextColumn:
    """A column that takes several lines where it does not fit into one."""
    return TextColumn(text, markup=False, table_column=Column(overflow="fold"))
