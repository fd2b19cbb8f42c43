# Every target sets up .venv by itself when it is missing or when what it installs has changed.

SETUP_PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.kpray-setup
SETUP_EXTRAS := cluster,cpu,bitext,offline,sklearn,spacy,langchain,baselines,dev,docs,languages

.DELETE_ON_ERROR:
.PHONY: help setup quickstart test test-ci test-fast coverage check docs bench submission bundle

help:
	@echo "make setup       create $(VENV) with everything that the jobs and the tests need"
	@echo "make quickstart  a small real run of the whole system, ending in a table"
	@echo "make test        run all the tests"
	@echo "make test-ci     those that are not marked as slow, as in .ci/run"
	@echo "make test-fast   those of them that start no Ray and no other process"
	@echo "make coverage    all the tests, and which lines they run (slower)"
	@echo "make check       lint, types, which module may import which, and the documentation"
	@echo "make docs        build/docs: the documentation as web pages"
	@echo "make bench       speed and F1 beside other tools"
	@echo "make submission  build/submission: what ray job submit takes along, a wheel and the jobs"
	@echo "make bundle      build/bundle: kpray and all that it needs, in parts, for a machine without a network:"
	@echo "                 PYTHON=3.12 PLATFORM=manylinux_2_28_x86_64 PART_MB=40 EXTRAS=offline HAVE='torch' DATA='files'"

setup: $(STAMP)

# The constraints also keep other packages from bringing along a newer PyTorch, of several GB. Most modules are never imported:
# Python compiles those that are when it first imports them.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(SETUP_PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --constraint constraints.txt --editable '.[$(SETUP_EXTRAS)]'
	touch $@

quickstart: $(STAMP)
	$(BIN)/python jobs/quickstart.py

# In the order of tests/conftest.py, and not files of many tests first: those take the least time.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST)

test-ci: $(STAMP)
	$(PYTEST) -m "not slow"

test-fast: $(STAMP)
	$(PYTEST) -m "not slow" --ignore tests/integration

# Not part of `make test`: measuring the coverage takes more than half of the tests' time again.
coverage: $(STAMP)
	$(PYTEST) --cov

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Strict: a link to a page, a heading or a name in the code that does not exist is an error. The variable silences a notice
# that Material for MkDocs prints about its successor.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py samrank
	$(BIN)/python benchmarks/run.py unikeyphrase --documents 32 --rounds 2

# Nodes keep an environment by its description: a checksum of the wheel's contents in its name (as a build tag) tells two
# builds of a version apart. Nothing but kpray is installed for a job: what it needs is on the nodes already, in
# constraints.txt's versions (deploy/Dockerfile), and not whatever is newest on the day.
submission: $(STAMP)
	rm -rf build/submission build/wheel
	mkdir -p build/submission/jobs
	cp jobs/*.py build/submission/jobs
	cp constraints.txt build/submission
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	wheel=$$(ls build/wheel/*.whl); sum=$$(sha256sum "$$wheel" | cut -c1-12); \
	name=$$(basename "$$wheel" | sed "s/-py3-/-1$$sum-py3-/"); cp "$$wheel" "build/submission/$$name"; \
	printf '%s\n' 'working_dir: build/submission' 'pip:' \
	    "  packages: ['\$${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/$$name']" \
	    '  pip_install_options: [--no-deps, --force-reinstall, --no-cache-dir, --disable-pip-version-check]' \
	    > build/submission/runtime_env.yaml
	@echo "ray job submit --runtime-env build/submission/runtime_env.yaml -- python jobs/extract.py ..."

# The machine that it is for: PYTHON, PLATFORM, and the packages that it HAS already. EXTRAS is separated by commas, as for
# pip; HAVE and DATA by spaces.
comma := ,
bundle: $(STAMP)
	$(BIN)/python deploy/bundle.py $(if $(PYTHON),--python $(PYTHON)) $(if $(PLATFORM),--platform $(PLATFORM)) \
	    $(if $(PART_MB),--part-mb $(PART_MB)) $(if $(HAVE),--have $(HAVE)) $(if $(DATA),--data $(DATA)) \
	    $(if $(filter undefined,$(origin EXTRAS)),,--extras $(subst $(comma), ,$(EXTRAS)))
