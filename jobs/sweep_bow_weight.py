"""Choose the weight of UniKeyphrase's bag-of-words constraint: `kpray sweep bow-weight`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("sweep bow-weight")
