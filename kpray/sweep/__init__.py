"""Hyperparameter sweeps on Ray Tune."""

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
