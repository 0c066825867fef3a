# `make` or `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAINTS := requirements/lock.txt

.DEFAULT_GOAL := help
.PHONY: help install run stop test format lint types

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): setup.py $(CONSTRAINTS)
	@echo "Making $(VENV) with everything that buildhub needs: a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --upgrade -c $(CONSTRAINTS) pip setuptools wheel
	@$(BIN)/pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

install: $(INSTALLED)  ## Make .venv with buildhub and what developing it needs

run: $(INSTALLED)  ## See it work: a real Kinto, a sample of the archive, the pipe between them
	@$(BIN)/python -m tests.demo run

stop: $(INSTALLED)  ## Stop the Kinto that `make run` has started
	@$(BIN)/python -m tests.demo stop

test: lint types  ## Check everything: style, types, unit and functional tests with coverage
	$(BIN)/pytest --cov=buildhub --cov-report=term:skip-covered

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lint: $(INSTALLED)  ## Check style and formatting
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(INSTALLED)  ## Check the types
	$(BIN)/mypy
