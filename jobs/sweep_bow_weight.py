"""Choose the weight of UniKeyphrase's bag-of-words constraint: `kpray sweep bow-weight`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.sweep import bow_weight

    return bow_weight(sys.argv[1:], "jobs/sweep_bow_weight.py")


if __name__ == "__main__":
    run_main(main)
