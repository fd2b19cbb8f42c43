# Every target sets up .venv by itself when it is missing or when what it installs has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.kpray-setup
EXTRAS := cluster,cpu,bitext,offline,dev

.DELETE_ON_ERROR:
.PHONY: help setup quickstart test check bench

help:
	@echo "make setup       create $(VENV) with everything that the jobs and the tests need"
	@echo "make quickstart  a small real run of the whole system, ending in a table"
	@echo "make test        run the tests"
	@echo "make check       lint, types, and which module may import which"
	@echo "make bench       speed and F1 beside other tools"

setup: $(STAMP)

# The constraints also keep other packages from bringing along a newer PyTorch, of several GB.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

quickstart: $(STAMP)
	$(BIN)/python jobs/quickstart.py

test: $(STAMP)
	$(BIN)/python -m pytest --cov --numprocesses 2 --dist loadfile

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python jobs/benchmark.py samrank
	$(BIN)/python jobs/benchmark.py unikeyphrase --documents 32 --rounds 2
