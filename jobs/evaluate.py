"""Score keyphrases: `kpray evaluate`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("evaluate")
