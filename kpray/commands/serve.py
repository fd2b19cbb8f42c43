"""`kpray serve`: keyphrases over HTTP, on Ray Serve."""

from __future__ import annotations

from collections.abc import Sequence

from kpray.serve.command import ServeCommand, run_server
from kpray.settings import parse_settings

DESCRIPTION = (
    "Serve keyphrases over HTTP: an API with its documentation at /docs, and a page to try it. "
    "Ctrl-C ends the service after the running requests."
)
EXAMPLES = ("--port 8000", "--models samrank trained=training/best --api-keys keys.txt")
USUAL = ("models", "lang", "host", "port", "api_keys", "replicas.max_replicas", "replicas.gpus")


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the command."""
    run_server(
        parse_settings(ServeCommand, arguments, prog=prog, description=DESCRIPTION, usual=USUAL, examples=EXAMPLES)
    )
    return 0
