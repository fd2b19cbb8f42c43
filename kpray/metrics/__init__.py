"""Metrics of keyphrase prediction, each under a named protocol, and of retrieval."""
