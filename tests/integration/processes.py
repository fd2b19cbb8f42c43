"""Runs a function in several processes that form a process group, without Ray."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The processes are forked from one that has imported what they all need, which takes five seconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["deepspeed", "tests.train.tiny_runs", "tests.train.retriever_runs"])


def run_processes(function: Callable[..., Any], *arguments: Any, number: int) -> list[Any]:
    """Return the results of `function(*arguments)` in `number` processes. All of it must be picklable."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as name:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        folder, call = Path(name), pickle.dumps((function, arguments))
        processes = [_CONTEXT.Process(target=_main, args=(folder, call, rank, number, port)) for rank in range(number)]
        for process in processes:
            process.start()
        try:
            for process in processes:
                process.join(timeout=300)
        finally:
            for process in processes:
                process.kill()
        outputs = [(folder / f"{rank}.log").read_text() for rank in range(number)]
        assert all(process.exitcode == 0 for process in processes), "\n".join(outputs)
        return [pickle.loads((folder / str(rank)).read_bytes()) for rank in range(number)]


def _main(folder: Path, call: bytes, rank: int, number: int, port: int) -> None:
    with (folder / f"{rank}.log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {variable: str(value) for variable, value in group.items()}

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    function, arguments = pickle.loads(call)
    (folder / str(rank)).write_bytes(pickle.dumps(function(*arguments)))
    dist.barrier()
    dist.destroy_process_group()
