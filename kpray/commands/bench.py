"""Measure kpray beside its floor and other tools, in a clone of the repository: `kpray bench NAME`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from kpray.errors import UserError

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"


def main(arguments: Sequence[str], prog: str) -> int:
    """Run `benchmarks/run.py`, which is not part of the installed package."""
    if not RUN.is_file():
        raise UserError("the benchmarks are not installed", fix=f"run `{prog}` in a clone of the repository")
    sys.argv = [prog, *arguments]
    runpy.run_path(str(RUN), run_name="__main__")
    return 0
