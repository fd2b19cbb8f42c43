"""A small real run of the whole system: `kpray quickstart`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("quickstart")
