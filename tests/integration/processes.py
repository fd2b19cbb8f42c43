"""Runs a function in several processes that form a process group, without Ray."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run_processes(function: Callable[..., Any], *arguments: Any, number: int) -> list[Any]:
    """Return the results of `function(*arguments)` in `number` processes. All of it must be picklable."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        call = Path(folder) / "call"
        call.write_bytes(pickle.dumps((function, arguments)))
        processes = []
        for rank in range(number):
            group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "MASTER_ADDR": "127.0.0.1"}
            variables = {
                name: str(value) for name, value in {**group, "MASTER_PORT": port, "OMP_NUM_THREADS": 1}.items()
            }
            command = [sys.executable, "-m", "tests.integration.processes", str(call), str(Path(folder) / str(rank))]
            environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
            processes.append(
                subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdout=-1, stderr=subprocess.STDOUT)
            )
        try:
            outputs = [process.communicate(timeout=300)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert all(process.returncode == 0 for process in processes), "\n".join(outputs)
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(number)]


def _main(call: Path, answer: Path) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    function, arguments = pickle.loads(call.read_bytes())
    answer.write_bytes(pickle.dumps(function(*arguments)))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    _main(*map(Path, sys.argv[1:]))
