"""Keyphrases over HTTP, on Ray Serve: `kpray serve`."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.serve.command import ServeCommand, run_server
from kpray.settings import parse_settings


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    run_server(parse_settings(ServeCommand, arguments, prog=prog, description=str(__doc__)))
    return 0
