"""Kill random processes of jobs, and compare the results with those of undisturbed jobs.

    python tests/integration/random_kills.py 100 0

The arguments are the number of kills and a seed. A kill hits the driver, a worker, a reader or Ray's node. After a
kill of the driver, the same command is entered again. This takes about an hour on two cores, so no test runs it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
import pyarrow.parquet as pq

from tests.integration.jobs import CHUNK_RECORDS, MAX_RECORD_BYTES, Job, contents, write_corpus
from tests.samrank.tiny_models import save_bert
from tests.train.tiny_runs import difference
from tests.train.tiny_task import make_records, write_records

HERE = Path(__file__).parent
KINDS = {  # kind of process -> part of its command line
    "worker": ("_PredictChunk", "Deadly", "RayTrainWorker", "ray::ImplicitFunc", "_Embed", "_Search", "_Generate"),
    "reader": ("read_source", "ReadParquet", "MapBatches"),
    "node": ("raylet/raylet",),
}


@dataclass
class Kind:
    """A kind of job.

    Attributes:
        command: script and options, without `--output`.
        same: whether two output folders have the same results.
        output_option: how the output folder is given.
        seconds: duration of each run that was disturbed.
        kills: what was killed.
        differing: number of runs with other results.
    """

    command: list[str | Path]
    same: Callable[[Path, Path], bool]
    output_option: tuple[str, ...] = ("--output",)
    undisturbed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    differing: int = 0


def start(kind: Kind, output: Path) -> Job:
    return Job(*kind.command, *kind.output_option, output, variables={"PYTHONPATH": str(ROOT)})


def victims(job: Job) -> list[tuple[str, psutil.Process]]:
    """The processes that may be killed, with their kind."""
    found = [("driver", psutil.Process(job.process.pid))]
    for process in job.processes():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            found += [(kind, process) for kind, parts in KINDS.items() if any(part in line for part in parts)]
    return found


def disturbed(kind: Kind, output: Path, random: Random, most: int) -> None:
    """Run a job to its end, with at most `most` kills at random times."""
    began, left = time.monotonic(), most
    while True:
        with start(kind, output) as job:
            next_kill = time.monotonic() + random.uniform(1, kind.undisturbed / 3)
            while job.process.poll() is None:
                if left and time.monotonic() > next_kill:
                    name = random.choice(["driver", "worker", "reader", "node"])
                    named = [process for what, process in victims(job) if what == name]
                    next_kill = time.monotonic() + random.uniform(1, kind.undisturbed / 3)
                    if not named:
                        continue
                    kind.kills[name] += 1
                    left -= 1
                    with suppress(psutil.NoSuchProcess):
                        random.choice(named).kill()
                    if name in ("driver", "node"):
                        job.kill()
                        break
                time.sleep(0.05)
            else:
                finished = job.finish()
                if finished.code != 0:
                    raise SystemExit(f"{kind.command[0]} ended with {finished.code}: {finished.err}")
                kind.seconds.append(time.monotonic() - began)
                return


def jobs(folder: Path) -> dict[str, Kind]:
    (folder / "corpus").mkdir()
    corpus = write_corpus(folder / "corpus")
    model = save_bert(folder / "model").folder
    write_records(make_records(200, seed=1), folder / "train.jsonl")
    write_records(make_records(30, seed=2), folder / "valid.jsonl")
    lines = [json.dumps({"id": str(n), "abstract": "poison" if n in (30, 31, 70) else "graph"}) for n in range(120)]
    (folder / "deadly.jsonl").write_text("\n".join(lines), "utf-8")
    files: list[str | Path] = ["--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl"]
    optim: list[str | Path] = ["--optim.epochs", "2", "--optim.batch", "8", "--optim.lr", "0.01"]
    run: list[str | Path] = ["--run.micro-tokens", "100", "--run.validate-every", "5", "--task.seconds", "0.2"]
    limits = ["--limits.max-record-bytes", str(MAX_RECORD_BYTES), "--batch.chunk-records", str(CHUNK_RECORDS)]
    extract: list[str | Path] = [ROOT / "jobs/extract.py", "--input", corpus.folder, "--samrank.model", model, *limits]
    sweep = ["--space.lr", "0.01", "0.02", "--sweep.seeds", "0", "--sweep.at-once", "1"]
    rgit = ["--config", "planted-small", "--rgit.rounds", "1", "--local", "--run.cpus", "1"]
    return {
        "extract": Kind([*extract, "--samrank.heads", "2-1", "3-4"], lambda a, b: contents(a) == contents(b)),
        "records that kill": Kind([HERE / "deadly.py", folder / "deadly.jsonl"], same_rows, ()),
        "training": Kind([HERE / "train_tiny.py", *files, *optim, *run, "--run.workers", "2"], same_weights),
        "sweep": Kind([HERE / "sweep_tiny.py", *files, *optim, *run, *sweep], same_scores),
        "RGIT": Kind([ROOT / "jobs/rgit.py", *rgit], same_report),
    }


def same_rows(first: Path, second: Path) -> bool:
    def rows(output: Path) -> tuple[list[dict[str, Any]], str]:
        parts = [pq.read_table(part).to_pylist() for part in sorted(output.glob("part-*.parquet"))]
        return [row for part in parts for row in part], (output / "_rejects.jsonl").read_text("utf-8")

    return rows(first) == rows(second)


def same_weights(first: Path, second: Path) -> bool:
    return difference(first, second) == 0 and difference(first, second, "best") == 0


def same_scores(first: Path, second: Path) -> bool:
    def scores(output: Path) -> list[Any]:
        return [json.loads(path.read_text("utf-8")) for path in sorted(output.glob("trials/*/finished.json"))]

    return scores(first) == scores(second)


def same_report(first: Path, second: Path) -> bool:
    def systems(output: Path) -> Any:
        return json.loads((output / "report.json").read_text("utf-8"))["systems"]

    return bool(systems(first) == systems(second))


def main() -> None:
    most, random = int(sys.argv[1]), Random(int(sys.argv[2]))
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        kinds = jobs(folder)
        for label, kind in kinds.items():
            began = time.monotonic()
            with start(kind, folder / label / "alone") as job:
                finished = job.finish()
            if finished.code != 0:
                raise SystemExit(f"{label} ended with {finished.code}: {finished.err}")
            kind.undisturbed = time.monotonic() - began
        run = 0
        while sum(kind.kills.total() for kind in kinds.values()) < most:
            label, kind = list(kinds.items())[run % len(kinds)]
            run += 1
            output = folder / label / str(run)
            disturbed(kind, output, random, min(5, most - sum(kind.kills.total() for kind in kinds.values())))
            kind.differing += not kind.same(folder / label / "alone", output)
            print(label, dict(kind.kills), f"{kind.seconds[-1]:.0f} s", "differs" * kind.differing, file=sys.stderr)
        print("| job | runs | kills | other results | seconds alone | with kills, mean |\n|---|---|---|---|---|---|")
        for label, kind in kinds.items():
            kills = ", ".join(f"{name} {number}" for name, number in sorted(kind.kills.items()))
            mean, runs = sum(kind.seconds) / max(1, len(kind.seconds)), len(kind.seconds)
            print(f"| {label} | {runs} | {kills} | {kind.differing} | {kind.undisturbed:.0f} | {mean:.0f} |")


if __name__ == "__main__":
    main()
