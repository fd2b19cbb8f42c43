"""Logs of the metrics of a training: metrics.jsonl, TensorBoard, and optionally MLflow or Weights & Biases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from kpray.corpus.writing import write_text
from kpray.json_files import read_lines

METRICS_FILE = "metrics.jsonl"
Tracker = Literal["none", "mlflow", "wandb"]


class MetricsLog:
    """Writes metrics to all logs. Only worker 0 has one."""

    def __init__(self, output: Path, step: int, tracker: Tracker, configuration: Mapping[str, Any]) -> None:
        """Open the logs after a step. Later entries of an earlier run are removed, because these steps are repeated.

        Args:
            output: output folder of the training.
            step: the last step to keep.
            tracker: the additional tracker.
            configuration: configuration of the training, for the tracker.

        Raises:
            UserError: a line of metrics.jsonl is damaged.
        """
        from tensorboardX import SummaryWriter

        path = output / METRICS_FILE
        if path.exists():
            lines = read_lines(path, "move the file away")
            write_text("".join(json.dumps(line) + "\n" for line in lines if line.get("step", 0) <= step), path)
        self._file = path.open("a", encoding="utf-8", newline="\n")
        self._tensorboard = SummaryWriter(
            str(output / "tensorboard"), purge_step=step + 1 if step else None, filename_suffix=f".{step}"
        )
        self._track, self._end = _open_tracker(tracker, output, configuration)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl, and its numbers to TensorBoard and the tracker."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        numbers = dict(_numbers(values))
        for name, number in numbers.items():
            self._tensorboard.add_scalar(name, number, step)
        self._track(numbers, step)

    def close(self) -> None:
        """Close all logs and end the tracker's run."""
        self._file.close()
        self._tensorboard.close()
        self._end()


class MetricsTail:
    """Follows metrics.jsonl: reads the lines that are added after it was opened."""

    def __init__(self, output: Path) -> None:
        """Start at the current end of the file in the output folder of a training."""
        self.path = output / METRICS_FILE
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> list[dict[str, Any]]:
        """Values of the complete lines that were added since the last call."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                # Restarted workers truncate the file. If it has grown again, the offset may be in the middle of a line.
                self.offset = min(self.offset, size)
                file.seek(max(0, self.offset - 1))
                if self.offset and file.read(1) != b"\n":
                    self.offset += len(file.readline())
                whole, end, _unfinished = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.offset += len(whole) + len(end)
        return [json.loads(line) for line in whole.splitlines()]


def _numbers(values: Mapping[str, Any], above: str = "") -> list[tuple[str, float]]:
    """Flatten nested values to pairs of a name, such as `validation/score`, and a number."""
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
    """Functions that log the numbers of a step and that end the tracker's run. A resumed training reuses its run."""
    identity = output / "tracker.txt"  # the tracker's id of the run
    known = identity.read_text(encoding="utf-8") if identity.exists() else None
    if tracker == "mlflow":
        import mlflow

        run = mlflow.start_run(run_id=known, run_name=None if known else output.name)
        write_text(run.info.run_id, identity)
        if not known:
            mlflow.log_dict(dict(configuration), "configuration.json")
        # MLflow does not allow "#" and "@" in names.
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
