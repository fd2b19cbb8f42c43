"""What a training tells of itself while it runs: metrics.jsonl, TensorBoard, and MLflow or Weights & Biases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from kpray.corpus.writing import write_text

METRICS_FILE = "metrics.jsonl"
Tracker = Literal["none", "mlflow", "wandb"]


class MetricsLog:
    """Writes a line for every report; the first worker has one."""

    def __init__(self, output: Path, step: int, tracker: Tracker, configuration: Mapping[str, Any]) -> None:
        """Go on after a step: what an earlier run said of later ones is cut off, since they will be done again.

        Args:
            output: folder of the training.
            step: the last step that counts.
            tracker: where else metrics go.
            configuration: of the training, for the tracker.
        """
        from tensorboardX import SummaryWriter

        path = output / METRICS_FILE
        if path.exists():
            write_text("".join(_lines_until(path, step)), path)
        self._file = path.open("a", encoding="utf-8", newline="\n")
        self._tensorboard = SummaryWriter(
            str(output / "tensorboard"), purge_step=step + 1 if step else None, filename_suffix=f".{step}"
        )
        self._track, self._end = _open_tracker(tracker, output, configuration)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl, and the numbers in it to the others."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        numbers = dict(_numbers(values))
        for name, number in numbers.items():
            self._tensorboard.add_scalar(name, number, step)
        self._track(numbers, step)

    def close(self) -> None:
        """End it, also at the tracker."""
        self._file.close()
        self._tensorboard.close()
        self._end()


class MetricsTail:
    """Reads lines as they are added to metrics.jsonl; it passes over what was there before."""

    def __init__(self, output: Path) -> None:
        """Begin at the end of the file in the output folder of a training."""
        self.path = output / METRICS_FILE
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> list[dict[str, Any]]:
        """The values of the whole lines that came since the last call."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                # It is cut when workers begin again, and may since have grown beyond this offset, into a line's middle.
                self.offset = min(self.offset, size)
                file.seek(max(0, self.offset - 1))
                if self.offset and file.read(1) != b"\n":
                    self.offset += len(file.readline())
                whole, end, _unfinished = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.offset += len(whole) + len(end)
        return [json.loads(line) for line in whole.splitlines()]


def _lines_until(path: Path, step: int) -> list[str]:
    """Lines of the file up to a step; the last one may have been cut off as it was written."""
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    return [line + "\n" for line in lines if json.loads(line)["step"] <= step]


def _numbers(values: Mapping[str, Any], above: str = "") -> list[tuple[str, float]]:
    """The numbers of nested values, each with its name: validation/score."""
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{above}{name}/")
        elif isinstance(value, (int, float)):
            found.append((above + name, float(value)))
    return found


def _open_tracker(
    tracker: Tracker, output: Path, configuration: Mapping[str, Any]
) -> tuple[Callable[[dict[str, float], int], Any], Callable[[], Any]]:
    """What takes the numbers of a step, and what ends it; a run that goes on goes on there too."""
    identity = output / "tracker.txt"  # of the run there
    known = identity.read_text(encoding="utf-8") if identity.exists() else None
    if tracker == "mlflow":
        import mlflow

        run = mlflow.start_run(run_id=known, run_name=None if known else output.name)
        write_text(run.info.run_id, identity)
        if not known:
            mlflow.log_dict(dict(configuration), "configuration.json")
        # MLflow's names have no "#" or "@".
        names = str.maketrans("#@", "NA")
        return lambda numbers, step: mlflow.log_metrics(
            {name.translate(names): number for name, number in numbers.items()}, step
        ), mlflow.end_run
    if tracker == "wandb":
        import wandb

        session = wandb.init(
            project="kpray", name=output.name, id=known, resume="allow", dir=str(output), config=dict(configuration)
        )
        write_text(session.id, identity)
        return lambda numbers, step: session.log(numbers, step=step), session.finish
    return lambda numbers, step: None, lambda: None
