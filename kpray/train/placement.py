"""How the workers of a training are placed on the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kpray.batch.chunks import READER_CPUS
from kpray.errors import UserError
from kpray.training import RunConfig

NODE_CPUS = 2.5 * READER_CPUS  # cores of each node that workers leave to Ray Data


@dataclass(frozen=True, slots=True)
class Placement:
    """Number of workers and the resources of each.

    Attributes:
        workers: number of workers.
        gpu: whether each worker has a GPU.
        cpus: cores of each worker.
    """

    workers: int
    gpu: bool
    cpus: float

    @property
    def threads(self) -> int:
        """Number of torch threads of a worker."""
        return max(1, round(self.cpus))


def placement(run: RunConfig, nodes: Sequence[Mapping[str, float]]) -> Placement:
    """Choose the number of workers and their cores, such that each fits on a node and every node can still read data.

    Args:
        run: the configured numbers of workers and cores.
        nodes: resources of each node.

    Raises:
        UserError: the workers do not fit. Ray itself would wait forever.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    workers = run.workers or max(1, gpus)
    if gpus and workers > gpus:
        raise UserError(
            f"{workers} workers need {workers} GPUs, but the cluster has {gpus}",
            where="run.workers",
            fix="use fewer workers",
        )
    free = [(max(0.0, node.get("CPU", 0) - NODE_CPUS), int(node.get("GPU", 0)) if gpus else workers) for node in nodes]

    def fitting(cpus: float) -> int:
        return sum(min(int(cores / cpus + 1e-9), most) for cores, most in free)

    shares = {cores / number for cores, most in free for number in range(1, min(workers, most) + 1)}
    share = next((share for share in sorted(shares, reverse=True) if share and fitting(share) >= workers), 0.0)
    if not share or (run.cpus and fitting(run.cpus) < workers):
        most = f", at most {share:.4g} for each of {workers} workers" if share else ""
        raise UserError(
            f"{workers} workers of {run.cpus or 'any number of'} cores do not fit: "
            f"the cluster has {sum(cores for cores, _ in free):.4g} free cores (the rest reads the data){most}",
            where="run.cpus" if run.cpus else "run.workers",
            fix="use fewer workers or cores",
        )
    return Placement(workers, gpus > 0, run.cpus or share)
