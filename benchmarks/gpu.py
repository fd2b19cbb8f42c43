"""Rates of every hot path on one GPU, each with the card's arithmetic ceiling: `python benchmarks/run.py gpu`.

Models have the shapes of the published ones and random weights, which are made on the card. A rate is the median of
several runs after a warm-up, and the device is synchronized before each reading of the clock. The ceiling of a row is
the time that its arithmetic takes at the rate of a large matrix product, or that its memory traffic takes at the rate
of a large copy, whichever is longer; both rates are measured first. A row that fails shows its error, and the others
go on. `--tiny` rehearses all rows on the CPU with small shapes.
"""

from __future__ import annotations

import gc
import json
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.settings import GPUBenchmark
from kpray.errors import UserError
from kpray.log import say
from kpray.printing import print_result, write_file
from kpray.report.tables import Cell, markdown_table

_WARM_SHARE = 0.4  # of a row's time that the first run may take and still be followed by a second warm-up
_MOST_REPEATS = 5


class Result(NamedTuple):
    """What a run of a row takes.

    Attributes:
        title: names the row.
        units: number of documents, passages or queries of a run.
        unit: their name.
        flops: floating-point operations that the run cannot do without.
        bytes: bytes of device memory that the run cannot do without, read and written.
        seconds: median of the repeats.
        note: what else there is to say.
    """

    title: str
    units: float
    unit: str
    flops: float
    bytes: float
    seconds: float
    note: str = ""


@dataclass
class Bench:
    """The device, its ceilings, and the clock.

    Attributes:
        device: of all models and data.
        tiny: whether shapes are small.
        model: folder of all-MiniLM-L6-v2; None: its package.
        flops: operations per second of a large float16 matrix product.
        bytes: bytes per second of a large copy, read and written.
        dtype: of models that are not trained: float16, and float32 on a CPU, where float16 is slow.
        random: of documents.
    """

    device: torch.device
    tiny: bool
    model: str | None
    flops: float = 0.0
    bytes: float = 0.0
    dtype: torch.dtype = torch.float32
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def time(self, run: Callable[[], object], seconds: float) -> float:
        """Median seconds of a run: warm-ups, and then repeats until the time is spent, at least one."""
        end = time.perf_counter() + seconds
        first = self._once(run)
        if first < _WARM_SHARE * seconds and not self.tiny:
            self._once(run)
        found = [self._once(run)]
        while len(found) < _MOST_REPEATS and not self.tiny and time.perf_counter() + found[-1] < end:
            found.append(self._once(run))
        return float(np.median(found))

    def _once(self, run: Callable[[], object]) -> float:
        self.synchronize()
        start = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def lengths(self, documents: int, mean: int, most: int) -> np.ndarray:
        """Numbers of tokens as abstracts have them: log-normal around the mean, int64 [documents]."""
        drawn = self.random.lognormal(np.log(mean) - 0.06, 0.35, documents)
        return np.clip(drawn, 8, most).astype(np.int64)


Measure = Callable[[Bench, float], Iterator[Result]]


def measure(job: GPUBenchmark) -> int:
    """Measure all rows and print the table; 1 where a row failed."""
    from benchmarks.gpu_ramkg import embedding, exact_search, generation
    from benchmarks.gpu_samrank import extraction_base, extraction_job, extraction_minilm, extraction_texts
    from benchmarks.gpu_unikeyphrase import decoding, training_base, training_minilm

    if not job.tiny and not torch.cuda.is_available():
        raise UserError("this machine has no GPU", fix="add --tiny to rehearse on the CPU")
    bench = Bench(torch.device("cpu" if job.tiny else "cuda"), job.tiny, job.model)
    bench.dtype = torch.float32 if job.tiny else torch.float16
    if job.tiny:
        torch.set_num_threads(1)  # shapes are too small for more
    measures: list[tuple[str, float, Measure]] = [  # the title of a failure, the share of the time, the rows
        ("ceilings", 4, ceilings),
        ("SAMRank, MiniLM shape", 10, extraction_minilm),
        ("SAMRank, BERT-base shape", 8, extraction_base),
        ("UniKeyphrase training, base shape", 32, training_base),
        ("embedding, mBERT shape", 7, embedding),
        ("exact search", 9, exact_search),
        ("UniKeyphrase decoding, MiniLM shape", 12, decoding),
        ("generation, mBART-large shape", 14, generation),
        ("UniKeyphrase training, MiniLM shape", 8, training_minilm),
        ("SAMRank, real texts", 6, extraction_texts),
        ("SAMRank, kpray batch", 6, extraction_job),
    ]
    scale, end = job.seconds / sum(share for _, share, _ in measures), time.perf_counter() + job.seconds
    rows: list[dict[str, Cell]] = []
    failed = False
    for title, share, measure_rows in measures:
        started = time.perf_counter()
        try:
            if started > end and not job.tiny:
                raise UserError("no time was left", fix="raise --seconds")
            for result in measure_rows(bench, share * scale):
                rows.append(_row(bench, result))
        except Exception as error:  # a measurement: the failure of a row is its result
            traceback.print_exc(limit=-4)
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            rows.append({"row": title, "note": f"FAILED {type(error).__name__}: {reason[:80]}"})
            failed = True
        if bench.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
        say("gpu", f"{title}: {time.perf_counter() - started:.1f} s", row=title)
        if job.output is not None:
            write_file(json.dumps({"device": _device_name(bench), "rows": rows}, indent=1) + "\n", job.output)
    print_result(f"{_device_name(bench)}, torch {torch.__version__}\n\n{markdown_table(rows)}")
    return 1 if failed else 0


def _device_name(bench: Bench) -> str:
    return torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU, tiny shapes"


def _row(bench: Bench, result: Result) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "row": result.title,
        "rate": result.units / result.seconds,
        "unit": f"{result.unit}/s",
        "seconds": round(result.seconds, 4),
        "TFLOP/s": result.flops / result.seconds / 1e12 if result.flops else None,
    }
    if result.flops or result.bytes:
        by_flops = result.flops / bench.flops if bench.flops else 0.0
        by_bytes = result.bytes / bench.bytes if bench.bytes else 0.0
        least = max(by_flops, by_bytes)
        row["ceiling"] = result.units / least if least else None
        row["reached, %"] = 100 * least / result.seconds
        row["bound by"] = "arithmetic" if by_flops >= by_bytes else "memory"
    if bench.device.type == "cuda":
        row["peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
    row["note"] = result.note or None
    return row


def ceilings(bench: Bench, seconds: float) -> Iterator[Result]:
    """A large matrix product in both half precisions, and a large copy."""
    size = 256 if bench.tiny else 8192
    for dtype in (torch.bfloat16, torch.float16):
        one, other = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
        times = 2 if bench.tiny else 10

        def multiply(one: torch.Tensor = one, other: torch.Tensor = other, times: int = times) -> None:
            for _ in range(times):
                one @ other

        took = bench.time(multiply, seconds / 4)
        bench.flops = max(bench.flops, 2.0 * times * size**3 / took)
        name = str(dtype).removeprefix("torch.")
        yield Result(f"ceiling: {size}^3 matrix product, {name}", times, "product", 2.0 * times * size**3, 0, took)
    source = torch.randn(2**20 if bench.tiny else 2**30, device=bench.device)
    target = torch.empty_like(source)
    moved = 2.0 * source.numel() * source.element_size()
    took = bench.time(lambda: target.copy_(source), seconds / 4)
    bench.bytes = moved / took
    yield Result("ceiling: copy within device memory", moved / 1e9, "GB", 0, moved, took)


def encoder_flops(
    lengths: np.ndarray, layers: int, hidden: int, inner: int, *, last_layer_keys_only: bool = False
) -> float:
    """Operations of the forward pass of a BERT encoder over documents of these lengths, without padding.

    Args:
        lengths: int64 [documents].
        layers: number of layers.
        hidden: size of a token's vector.
        inner: size of the feed-forward network.
        last_layer_keys_only: of the last layer only queries, keys and their products are computed.
    """
    tokens, pairs = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    whole = 2 * tokens * (4 * hidden * hidden + 2 * hidden * inner) + 4 * pairs * hidden
    keys = 2 * tokens * 2 * hidden * hidden + 2 * pairs * hidden
    return (layers - 1) * whole + keys if last_layer_keys_only else layers * whole
