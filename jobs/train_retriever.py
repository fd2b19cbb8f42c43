"""Train RAMKG's retriever: `kpray train retriever`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.train import retriever

    return retriever(sys.argv[1:], "jobs/train_retriever.py")


if __name__ == "__main__":
    run_main(main)
