"""Jobs as a user runs them, in processes of their own, and a made-up corpus with known defects to run them on."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.commands import Finished

# As `ray start` does, in a process that ends it when it ends.
HEAD = ("-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--node-ip-address=127.0.0.1")
MAX_RECORD_BYTES = 4000
CHUNK_RECORDS = 8
LONGEST_WAIT = 400  # seconds

_ADJECTIVES = "neural sparse convex parallel robust bilingual spectral adaptive causal discrete".split()
_NOUNS = "network graph solver kernel corpus filter sampler schedule lattice estimator".split()
_VERBS = "improves replaces bounds explains compresses".split()


@dataclass(frozen=True)
class Corpus:
    """A folder of files, and what a job must make of it.

    Attributes:
        folder: what to give as --input.
        ids: id of every record that can be processed.
        rejects: (file, line) of every record that cannot -> a part of the reason.
        records: number of each file.
    """

    folder: Path
    ids: frozenset[str]
    rejects: dict[tuple[str, int], str]
    records: tuple[int, ...]

    def parts(self, chunk_records: int = CHUNK_RECORDS) -> int:
        """Files of predictions that an extract job writes."""
        return sum(-(-count // chunk_records) for count in self.records)


class Job:
    """A command in a session of its own, as at a terminal; as a context it is killed at the end, and all it started.

    Its current folder is its own too: Ray's processes inherit it, and are found by it even when they have lost their
    parent and overwritten their command line.
    """

    def __init__(
        self, *command: str | Path, variables: dict[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        # Not below pytest's folder: the names of Ray's sockets may have about 100 characters.
        self.folder = tempfile.mkdtemp(prefix="kpray-")
        self.process = subprocess.Popen(
            [*before, sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_TMPDIR": self.folder, **(variables or {})},
            start_new_session=True,
        )

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def finish(self) -> Finished:
        """Wait for its end, and for that of its Ray."""
        out, err = self.process.communicate(timeout=LONGEST_WAIT)
        _, left = psutil.wait_procs(self.processes(), timeout=60)
        assert not left, f"these outlived the job: {[process.cmdline()[:1] for process in left]}"
        return Finished(self.process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """All that still run in its folder, or below it, where Ray Train's workers are."""
        found = psutil.process_iter(["cwd"])
        return [process for process in found if f"{process.info['cwd']}/".startswith(f"{self.folder}/")]

    def workers(self, name: str = "_PredictChunk") -> list[psutil.Process]:
        """The processes that hold a model; Ray gives them the name of what they run."""
        return [process for process in self.processes() if name in " ".join(process.cmdline())]

    def read_line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def write_line(self) -> None:
        """Give it an empty line of input."""
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def kill(self) -> tuple[str, str]:
        """End all of it at once and without a word, as when the machine goes down; what it had printed."""
        while processes := self.processes():
            for process in processes:
                with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                    process.kill()
            psutil.wait_procs(processes, timeout=30)
        return self.process.communicate()

    def wait_for_parts(self, output: Path, number: int) -> None:
        """Wait until it has written so many files of predictions."""
        self.wait_until(lambda: len(parts(output)) >= number)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so; the job must not end before it."""
        deadline = time.monotonic() + LONGEST_WAIT
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, f"it never came to it: {self.kill()}"
            time.sleep(0.002)


def wait_for_head(head: Job) -> str:
    """Address of a Ray that a process of `ray start --head --block` has begun to start."""
    printed = ""
    while not (found := re.search(r"--address='([\d.]+:\d+)'", printed)):
        printed += f"{head.read_line()}\n"
        assert head.process.poll() is None, printed
    return found[1]


def parts(output: Path) -> list[str]:
    """Names of the files of predictions."""
    return sorted(path.name for path in output.glob("*.parquet"))


def contents(output: Path) -> dict[str, Any]:
    """All that an extract job wrote, by file name; also whatever should not be there.

    Hidden files are left out: a process that is killed while it writes leaves one behind, which nobody reads.
    """
    tables = {name: pq.read_table(output / name).to_pylist() for name in parts(output)}
    rest = [path.name for path in output.iterdir() if path.name not in tables and not path.name.startswith(".")]
    return {"others": sorted(rest), "rejects": (output / "_rejects.jsonl").read_text("utf-8"), **tables}


def sentence(random: Random) -> str:
    first, second = (f"{random.choice(_ADJECTIVES)} {random.choice(_NOUNS)}" for _ in range(2))
    return f"The {first} {random.choice(_VERBS)} each {second} of the {random.choice(_NOUNS)}."


def records(random: Random, name: str, number: int) -> list[dict[str, Any]]:
    """Records with two gold keyphrases that stand in the text."""
    found = []
    for place in range(number):
        abstract = " ".join(sentence(random) for _ in range(random.randint(2, 12)))
        gold = [" ".join(text.split()[1:3]) for text in abstract.split(". ")[:2]]
        found.append({"id": f"{name}-{place}", "title": sentence(random), "abstract": abstract, "keywords": gold})
    return found


def write_corpus(folder: Path) -> Corpus:
    """Made-up records in files of five formats; between one and two in a hundred have one of seven defects."""
    random = Random(7)
    plain, packed, table, column = (records(random, name, 120) for name in ("plain", "packed", "table", "column"))
    lines = [json.dumps(record).encode() for record in plain]
    defects: list[tuple[bytes, str]] = [
        (b'{"id": "cut", "abstract": "The spar', "not JSON"),
        (b'{"id": "empty", "keywords": ["graph"]}', "no text"),
        (b'{"id": "number", "abstract": 12}', "field abstract: a number"),
        (b'{"id": "latin", "abstract": "r\xe9seau neural"}', "not UTF-8"),
        (json.dumps({"id": "long", "abstract": "graph " * MAX_RECORD_BYTES}).encode(), "larger than 4000 bytes"),
        (b'{"id": "thai", "lang": "th", "abstract": "The sparse graph."}', "written without spaces"),
    ]
    rejects = {}
    for line, (defect, reason) in zip((3, 20, 41, 66, 90, 125), defects, strict=True):
        lines.insert(line - 1, defect)
        rejects[f"{folder}/plain.jsonl", line] = reason
    (folder / "plain.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with gzip.open(folder / "packed.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in packed)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "title", "abstract", "keywords"])
        rows.writerows([r["id"], r["title"], r["abstract"], ";".join(r["keywords"])] for r in table)
        rows.writerow(["short", "The row ends here"])
    rejects[f"{folder}/table.csv", 122] = "the row has 2 fields, but the header has 4"
    pq.write_table(pa.Table.from_pylist(column), folder / "column.parquet", row_group_size=50)
    (folder / "note.txt").write_text(sentence(random), encoding="utf-8")
    ids = {record["id"] for record in (*plain, *packed, *table, *column)} | {f"{folder}/note.txt"}
    files = (len(lines), len(packed), len(table) + 1, len(column), 1)
    return Corpus(folder, frozenset(ids), rejects, files)
