"""Keyphrases for any number of documents: `kpray batch`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("batch")
