"""What `kpray COMMAND` and `jobs/*.py` run: a file for each command, with its settings and its entry point."""
