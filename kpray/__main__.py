"""`python -m kpray` is `kpray`."""

from kpray.cli import main

if __name__ == "__main__":
    main()
