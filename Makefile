# Every target sets up what it needs by itself: a virtual environment in .venv with pinned
# packages. Another interpreter: make test PYTHON=/path/to/python

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# The first that is new enough and really runs; a name on PATH may be an empty shell.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1; then echo $$name; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help demo test beside lint check clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    record the example service, calibrate, predict, measure, compare"
	@echo "make test    run the tests              (ARGS='-k name' passes options on)"
	@echo "make beside  record services with old and new libraries on every Python there is"
	@echo "make lint    style, types, layering"
	@echo "make check   lint and test"
	@echo "make clean   remove the environment and what tools left behind"

demo: $(VENV)/.demo
	@$(BIN)/fastsim demo --force $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m tests $(ARGS)

beside: $(VENV)/.dev
	@FASTSIM_BESIDE="$$($(BIN)/python requirements/beside.py)" && export FASTSIM_BESIDE && \
		$(BIN)/python -m pytest tests/live/test_beside.py $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test

clean:
	rm -rf $(VENV) .beside .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: no Python 3.11 or newer (with venv and pip) found" >&2; \
		echo "help: install one, or name it: make <target> PYTHON=/path/to/python3" >&2; \
		exit 1; fi
	@echo "creating $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -m venv --clear $(VENV)

# The stamps are newer than the pins exactly when the environment holds them.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	@echo "installing the pinned packages of $< (once, about a minute)" >&2
	@$(PIP) install -qq -r $<
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing the pinned packages of $< (once, about a minute)" >&2
	@$(PIP) install -qq -r $<
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $(VENV)/.demo $@
