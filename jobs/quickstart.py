"""Try kpray on this machine: the same as `kpray quickstart`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.quickstart import main as run

    return run(sys.argv[1:], "jobs/quickstart.py")


if __name__ == "__main__":
    run_main(main)
