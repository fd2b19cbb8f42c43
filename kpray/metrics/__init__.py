"""Scores of keyphrases and of retrieval, each under a named protocol."""
