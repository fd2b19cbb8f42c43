"""Extraction of keyphrases from any number of documents, and evaluation, on Ray Data."""

import kpray.cluster  # noqa: F401  # turns on token authentication before Ray is imported
