"""What Ray costs a task and a chunk when the work itself is nothing, on simulated nodes: raylets of this machine.

On a real cluster each node has a processor. All nodes share one driver and one head, whose processor time limits a
large cluster, so it is reported separately.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from kpray.batch.actors import ChunkActor
from kpray.batch.chunks import process_chunks
from kpray.batch.config import BatchConfig
from kpray.batch.extract import placement
from kpray.cluster.job import STATE_FOLDER
from kpray.corpus.reading import Chunk
from kpray.corpus.sources import Source

if TYPE_CHECKING:
    from benchmarks.settings import SchedulingConfig

_HEAD = ("gcs_server",)  # the only one of the head's processes that hears of every task and actor


@dataclass(frozen=True, slots=True)
class _EmptyRun:
    """A `ChunkRun` with one file of `number` chunks without records."""

    output: Path
    number: int

    @property
    def state(self) -> Path:
        return self.output / STATE_FOLDER

    def part(self, source: Source) -> str:
        return "part"

    def chunks(self, source: Source) -> Iterator[Chunk]:
        for index in range(self.number):
            yield Chunk(source.name, source.format, index, 1, [], 1)


class _WriteNothing(ChunkActor[_EmptyRun]):
    def open(self) -> None:
        pass

    def process(self, chunk: Any, part: str) -> None:
        pq.write_table(pa.table({"id": pa.array([], pa.string())}), self.run.output / f"{part}.parquet")


@ray.remote(num_cpus=1)
def _nothing() -> None:
    pass


def measure_scheduling(config: SchedulingConfig) -> list[dict[str, Any]]:
    """A row for each number of nodes: milliseconds a task and a chunk, by the clock and of the processes all share."""
    return [_measure(nodes, config) for nodes in config.nodes]


def _measure(nodes: int, config: SchedulingConfig) -> dict[str, Any]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        ray.init(cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        nothing = _nothing.options(scheduling_strategy="SPREAD")
        ray.get([nothing.remote() for _ in range(8 * nodes)])  # worker processes start
        tasks = _timed(config.tasks, lambda: ray.get([nothing.remote() for _ in range(config.tasks)]))
        _process(4 * nodes)  # what Ray Data loads once
        chunks = _timed(config.chunks, lambda: _process(config.chunks))
    finally:
        ray.shutdown()
        cluster.shutdown()
    return {
        "nodes": nodes,
        **{f"{name}, ms a task": value for name, value in tasks.items()},
        **{f"{name}, ms a chunk": value for name, value in chunks.items()},
    }


def _process(number: int) -> None:
    """The batch job's pipeline over `number` chunks, with the number of actors that it starts by default."""
    with tempfile.TemporaryDirectory() as folder:
        run = _EmptyRun(Path(folder), number)
        (run.state / "rejects").mkdir(parents=True)
        process_chunks(run, [Source("", "nothing", "jsonl", number)], number, _WriteNothing, placement(BatchConfig()))


def _timed(number: int, work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of each: by the clock, of the driver's processor and of the head's."""
    shared = {"driver": [psutil.Process()], "head": [p for p in psutil.process_iter(["name"]) if p.name() in _HEAD]}

    def processor_seconds() -> dict[str, float]:
        times = {name: [process.cpu_times() for process in processes] for name, processes in shared.items()}
        return {name: sum(times.user + times.system for times in spent) for name, spent in times.items()}

    before, start = processor_seconds(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - start, processor_seconds()
    spent = {"clock": seconds, **{name: after[name] - before[name] for name in after}}
    return {name: 1000 * value / number for name, value in spent.items()}
