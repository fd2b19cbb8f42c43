"""Train RAMKG's generator: `kpray train generator`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.train import generator

    return generator(sys.argv[1:], "jobs/train_generator.py")


if __name__ == "__main__":
    run_main(main)
