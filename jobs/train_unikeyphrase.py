"""Train UniKeyphrase: `kpray train unikeyphrase`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.train import unikeyphrase

    return unikeyphrase(sys.argv[1:], "jobs/train_unikeyphrase.py")


if __name__ == "__main__":
    run_main(main)
