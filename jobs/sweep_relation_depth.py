"""Choose how many relation layers UniKeyphrase has: `kpray sweep depth`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.sweep import depth

    return depth(sys.argv[1:], "jobs/sweep_relation_depth.py")


if __name__ == "__main__":
    run_main(main)
