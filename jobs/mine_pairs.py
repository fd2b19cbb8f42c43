"""Find translations among documents: `kpray mine`, for `ray job submit`."""

import sys

from kpray.settings import run_main


def main() -> int:
    from kpray.commands.mine import main as run

    return run(sys.argv[1:], "jobs/mine_pairs.py")


if __name__ == "__main__":
    run_main(main)
