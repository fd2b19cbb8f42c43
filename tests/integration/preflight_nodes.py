"""Runs the preflight checks of a job: `python preflight_nodes.py ADDRESS OUTPUT MODEL`."""

from __future__ import annotations

import sys
from pathlib import Path

from kpray.cluster.session import ray_session
from kpray.settings import run_main


def main() -> int:
    address, output, model = sys.argv[1:]
    with ray_session(address, Path(output), (model,)):
        pass
    print("all is well")
    return 0


if __name__ == "__main__":
    run_main(main)
