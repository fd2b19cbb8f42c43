"""Keyphrases for any number of documents: `kpray batch`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.batch import main as run

    return run(sys.argv[1:], "jobs/extract.py")


if __name__ == "__main__":
    run_main(main)
