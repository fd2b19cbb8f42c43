"""Choose SAMRank's heads: `kpray sweep heads`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.sweep import heads

    return heads(sys.argv[1:], "jobs/sweep_samrank_heads.py")


if __name__ == "__main__":
    run_main(main)
