"""How the workers of a training find each other.

Ray's own `TorchConfig` looks for a free port of the first worker, closes it, and opens it again later. If another
process takes the port meanwhile, the training ends, and its cores stay reserved. Here the port stays open.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import ray
import ray.train
import torch.distributed as dist
from ray.train.backend import Backend, BackendConfig
from ray.train.torch import TorchConfig
from typing_extensions import override

_store: Any = dist.TCPStore  # type: ignore[attr-defined]
_opened: list[Any] = []  # of the first worker, until all have joined


class ProcessGroupConfig(TorchConfig):
    """`TorchConfig` whose workers meet at a port that is never closed. `backend` is required."""

    @property
    @override
    def backend_cls(self) -> type[Backend]:
        return _Meeting


class _Meeting(Backend):
    share_cuda_visible_devices = True

    @override
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, ProcessGroupConfig)
        workers, timeout = len(worker_group), timedelta(seconds=backend_config.timeout_s)
        host, port = worker_group.execute_single(0, _open, timeout)
        worker_group.execute(_set_ranks)
        ray.get(
            [
                worker_group.execute_single_async(
                    rank, _join, backend_config.backend, rank, workers, host, port, timeout
                )
                for rank in range(workers)
            ]
        )


def _set_ranks() -> None:
    """Set the environment variables by which torch's launcher and DeepSpeed know a worker."""
    context = ray.train.get_context()
    ranks = {
        "RANK": context.get_world_rank(),
        "LOCAL_RANK": context.get_local_rank(),
        "NODE_RANK": context.get_node_rank(),
        "WORLD_SIZE": context.get_world_size(),
        "LOCAL_WORLD_SIZE": context.get_local_world_size(),
    }
    os.environ.update({name: str(value) for name, value in ranks.items()})


def _open(timeout: timedelta) -> tuple[str, int]:
    """Open a store at a free port of the first worker; return its host and port."""
    host = ray.util.get_node_ip_address()
    store = _store(host, 0, is_master=True, timeout=timeout, wait_for_workers=False)
    _opened.append(store)
    return host, store.port


def _join(backend: str, rank: int, workers: int, host: str, port: int, timeout: timedelta) -> None:
    store = _opened.pop() if rank == 0 else _store(host, port, is_master=False, timeout=timeout)
    dist.init_process_group(backend, store=store, rank=rank, world_size=workers, timeout=timeout)
