"""Where the workers of a training go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kpray.batch.chunks import READER_CPUS
from kpray.errors import UserError
from kpray.training import RunConfig

NODE_CPUS = 2.5 * READER_CPUS  # of each node, that workers leave to Ray Data


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the workers go.

    Attributes:
        workers: how many.
        gpu: whether each has a GPU.
        cpus: cores of each.
    """

    workers: int
    gpu: bool
    cpus: float

    @property
    def threads(self) -> int:
        """Threads of a worker's tensors."""
        return max(1, round(self.cpus))


def placement(run: RunConfig, nodes: Sequence[Mapping[str, float]]) -> Placement:
    """Decide where the workers go: each on one node, and on every node something is left for reading.

    Args:
        run: the numbers that are set.
        nodes: resources of each.

    Raises:
        UserError: there is not enough of something; Ray would wait for it forever.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    workers = run.workers or max(1, gpus)
    if gpus and workers > gpus:
        raise UserError(f"{workers} workers need as many GPUs, and there are {gpus}", where="run.workers")
    free = [(max(0.0, node.get("CPU", 0) - NODE_CPUS), int(node.get("GPU", 0)) if gpus else workers) for node in nodes]

    def fitting(cpus: float) -> int:
        return sum(min(int(cores / cpus + 1e-9), most) for cores, most in free)

    shares = {cores / number for cores, most in free for number in range(1, min(workers, most) + 1)}
    share = next((share for share in sorted(shares, reverse=True) if share and fitting(share) >= workers), 0.0)
    if not share or (run.cpus and fitting(run.cpus) < workers):
        most = f", of which {workers} workers can have {share:.4g} each" if share else ""
        raise UserError(
            f"{workers} workers of {run.cpus or 'any number of'} cores do not fit: "
            f"there are {sum(cores for cores, _ in free):.4g} beside reading{most}",
            where="run.cpus" if run.cpus else "run.workers",
            fix="give less",
        )
    return Placement(workers, gpus > 0, run.cpus or share)
