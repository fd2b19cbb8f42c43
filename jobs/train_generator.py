"""Train RAMKG's generator: `kpray train generator`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("train generator")
