"""Runs jobs in separate processes, as a user does, and makes a corpus with known defects for them."""

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
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.commands import Finished

# Like `ray start`, but Ray ends together with this process.
HEAD = ("-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--node-ip-address=127.0.0.1")
MAX_RECORD_BYTES = 4000
CHUNK_RECORDS = 8
LONGEST_WAIT = 400  # seconds

_ADJECTIVES = "neural sparse convex parallel robust bilingual spectral adaptive causal discrete".split()
_NOUNS = "network graph solver kernel corpus filter sampler schedule lattice estimator".split()
_VERBS = "improves replaces bounds explains compresses".split()


@dataclass(frozen=True)
class Corpus:
    """A folder of files, and the expected result of a job.

    Attributes:
        folder: the value of --input.
        ids: id of every valid record.
        rejects: (file, line) of every invalid record -> a part of the reason.
        records: number of records of each file.
    """

    folder: Path
    ids: frozenset[str]
    rejects: dict[tuple[str, int], str]
    records: tuple[int, ...]

    def parts(self, chunk_records: int = CHUNK_RECORDS) -> int:
        """Number of prediction files that an extract job writes."""
        return sum(-(-count // chunk_records) for count in self.records)


class Job:
    """A command in a new session, as in a terminal. As a context manager, it kills the command and its processes.

    The command has a new current folder. Ray's processes inherit this folder, so they can be found by it even if they
    have lost their parent and have changed their command line.
    """

    def __init__(
        self, *command: str | Path, variables: dict[str, str] | None = None, before: Sequence[str] = ()
    ) -> None:
        # Not in pytest's folder, because paths of Ray's sockets may have only about 100 characters.
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
        """Wait until the command and its Ray have ended."""
        out, err = self.process.communicate(timeout=LONGEST_WAIT)
        _, left = psutil.wait_procs(self.processes(), timeout=60)
        assert not left, f"these outlived the job: {[process.cmdline()[:1] for process in left]}"
        return Finished(self.process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """All running processes whose current folder is the command's folder or below (as for Ray Train's workers)."""
        found = psutil.process_iter(["cwd"])
        return [process for process in found if f"{process.info['cwd']}/".startswith(f"{self.folder}/")]

    def workers(self, name: str = "_PredictChunk") -> list[psutil.Process]:
        """The processes that run an actor class. Ray puts the class name into their command line."""
        return [process for process in self.processes() if name in " ".join(process.cmdline())]

    def listening(self) -> dict[str, list[IPv4Address | IPv6Address]]:
        """Id and command line of each process -> the addresses on which it listens."""
        found = {}
        for process in self.processes():
            connections = process.net_connections("inet")
            ips = [ip_address(each.laddr.ip) for each in connections if each.status == psutil.CONN_LISTEN]
            found[f"{process.pid} {process.cmdline()[:1]}"] = [getattr(ip, "ipv4_mapped", None) or ip for ip in ips]
        return found

    def read_line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def write_line(self) -> None:
        """Send it an empty line of input."""
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)

    def kill(self) -> tuple[str, str]:
        """Kill all of its processes at once, like a crash of the machine. Returns what it had printed."""
        while processes := self.processes():
            for process in processes:
                with suppress(psutil.NoSuchProcess):  # the process ended meanwhile
                    process.kill()
            psutil.wait_procs(processes, timeout=30)
        return self.process.communicate()

    def wait_for_parts(self, output: Path, number: int) -> None:
        """Wait until it has written `number` files of predictions."""
        self.wait_until(lambda: len(parts(output)) >= number)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds. The job must not end before that."""
        deadline = time.monotonic() + LONGEST_WAIT
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, f"the condition never held: {self.kill()}"
            time.sleep(0.002)


def wait_for_head(head: Job) -> str:
    """Wait until a `ray start --head --block` process prints its address, and return the address."""
    printed = ""
    while not (found := re.search(r"--address='([\d.]+:\d+)'", printed)):
        printed += f"{head.read_line()}\n"
        assert head.process.poll() is None, printed
    return found[1]


def parts(output: Path) -> list[str]:
    """Names of the prediction files, sorted."""
    return sorted(path.name for path in output.glob("*.parquet"))


def contents(output: Path) -> dict[str, Any]:
    """Everything that an extract job wrote, by file name, including unexpected files.

    Hidden files are skipped: a killed process may leave one behind, and no reader looks at it.
    """
    tables = {name: pq.read_table(output / name).to_pylist() for name in parts(output)}
    rest = [path.name for path in output.iterdir() if path.name not in tables and not path.name.startswith(".")]
    return {"others": sorted(rest), "rejects": (output / "_rejects.jsonl").read_text("utf-8"), **tables}


def sentence(random: Random) -> str:
    first, second = (f"{random.choice(_ADJECTIVES)} {random.choice(_NOUNS)}" for _ in range(2))
    return f"The {first} {random.choice(_VERBS)} each {second} of the {random.choice(_NOUNS)}."


def records(random: Random, name: str, number: int) -> list[dict[str, Any]]:
    """Records with two gold keyphrases that occur in the text."""
    found = []
    for index in range(number):
        abstract = " ".join(sentence(random) for _ in range(random.randint(2, 12)))
        gold = [" ".join(text.split()[1:3]) for text in abstract.split(". ")[:2]]
        found.append({"id": f"{name}-{index}", "title": sentence(random), "abstract": abstract, "keywords": gold})
    return found


def write_corpus(folder: Path) -> Corpus:
    """Write records in five file formats. One or two percent of them have one of seven defects."""
    random = Random(7)
    plain, packed, table, column = (records(random, name, 120) for name in ("plain", "packed", "table", "column"))
    lines = [json.dumps(record).encode() for record in plain]
    defects: list[tuple[bytes, str]] = [
        (b'{"id": "cut", "abstract": "The spar', "not JSON"),
        (b'{"id": "empty", "keywords": ["graph"]}', "no text"),
        (b'{"id": "number", "abstract": 12}', "field abstract: expected a string, found an integer"),
        (b'{"id": "latin", "abstract": "r\xe9seau neural \xe2\x82\xac"}', "not UTF-8"),
        (json.dumps({"id": "long", "abstract": "graph " * MAX_RECORD_BYTES}).encode(), "the limit of 4000 bytes"),
        (b'{"id": "lao", "lang": "lo", "abstract": "The sparse graph."}', "written without spaces"),
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
