"""Train RAMKG by RGIT: `kpray rgit`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.rgit import main as run

    return run(sys.argv[1:], "jobs/rgit.py")


if __name__ == "__main__":
    run_main(main)
