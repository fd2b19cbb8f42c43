"""Choose SAMRank's heads: `kpray sweep heads`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("sweep heads")
