"""A job on Ray Data whose workers die at some records: `deadly.py INPUT OUTPUT`."""

from __future__ import annotations

import sys
from pathlib import Path

from ray.data import ActorPoolStrategy

from kpray.batch.chunks import process_chunks
from kpray.cluster.session import ray_session
from kpray.corpus.sources import find_sources
from tests.batch.test_deaths import Deadly, Run


def main() -> None:
    run = Run(Path(sys.argv[2]))
    (run.state / "rejects").mkdir(parents=True, exist_ok=True)
    sources = find_sources([sys.argv[1]])
    with ray_session(None):
        placement = {"compute": ActorPoolStrategy(size=2), "num_cpus": 0.9}
        counts = process_chunks(run, sources, sources[0].bytes, Deadly, placement)
    print(counts.written, counts.rejected)


if __name__ == "__main__":
    main()
