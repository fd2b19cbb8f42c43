"""`kpray bench`: benchmarks, in a clone of the repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from kpray.errors import UserError

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str], prog: str) -> int:
    """Run `benchmarks/run.py`, which is not part of the installed package."""
    if not (ROOT / "benchmarks" / "run.py").is_file():
        raise UserError("the benchmarks are not installed", fix=f"run `{prog}` in a clone of the repository")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    code: int = import_module("benchmarks.run").main(arguments, prog)
    return code
