"""Keyphrases for any number of documents, and their evaluation, on Ray Data."""
