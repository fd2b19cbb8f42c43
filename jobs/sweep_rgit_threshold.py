"""Choose RGIT's threshold: `kpray sweep tau`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.sweep import tau

    return tau(sys.argv[1:], "jobs/sweep_rgit_threshold.py")


if __name__ == "__main__":
    run_main(main)
