"""Choose RGIT's threshold: `kpray sweep tau`, for `ray job submit`."""

from kpray.cli import run_job

if __name__ == "__main__":
    run_job("sweep tau")
