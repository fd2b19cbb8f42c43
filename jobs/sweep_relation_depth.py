"""Choose how many relation layers UniKeyphrase has: `kpray sweep depth`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("sweep depth")
