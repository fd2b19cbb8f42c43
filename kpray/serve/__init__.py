"""Keyphrases over HTTP, on Ray Serve."""

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
