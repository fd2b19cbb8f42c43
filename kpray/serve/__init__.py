"""Keyphrases over HTTP, on Ray Serve."""
