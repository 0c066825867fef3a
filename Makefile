# `make` or `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CONSTRAINTS := requirements/lock.txt

# The files of benchmarks/ that can be started.
# All but the server that one of them measures.
BENCHMARKS = $(shell grep -l __main__ benchmarks/*.py | grep -v full_kinto | sort | sed 's|/|.|; s|\.py$$||')

# Two processes more than there are cores, as tests wait; tests of one xdist_group share one.
# tests/conftest.py says in which order.
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
PYTEST = $(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadgroup --no-loadscope-reorder

# Of the Lambda zip: x86_64 or arm64, and the version of Python chosen in AWS.
LAMBDA_ARCH ?= x86_64
LAMBDA_PYTHON ?= 3.11
LAMBDA_ZIP ?= lambda.zip

# Of the image: runtime, dev or kinto, and options of docker, podman or buildah.
TARGET ?= runtime
BUILDFLAGS ?=

# Otherwise each of the many processes that tests start compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run stop test test-all format lint types \
	functional fuzz chaos bench docs pictures lock docker lambda.zip

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): setup.py $(CONSTRAINTS)
	@echo "Making $(VENV) with everything that buildhub needs: a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --upgrade -c $(CONSTRAINTS) pip setuptools wheel
	@$(BIN)/pip install -qq -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

install: $(INSTALLED)  ## Make .venv with buildhub and what developing it needs

run: $(INSTALLED)  ## See it work: a real Kinto, a sample of the archive, the pipe between them
	@$(BIN)/python -m tests.demo run

stop: $(INSTALLED)  ## Stop the Kinto and the page that `make run` has started
	@$(BIN)/python -m tests.demo stop

test: lint types  ## Check style and types, run all tests but the slow ones: before each commit
	$(PYTEST) -m "not slow"

test-all: lint types  ## The same, and the slow tests, with coverage
	$(PYTEST) --cov=buildhub --cov-report=term:skip-covered

functional: $(INSTALLED)  ## Only the tests on real servers
	$(PYTEST) tests/functional

bench: $(INSTALLED)  ## Measure what the documentation claims of speed and memory (minutes)
	@for one in $(BENCHMARKS); do echo "$$one"; $(BIN)/python -m $$one || exit 1; done

fuzz: $(INSTALLED)  ## Fuzz everything that reads what others write (FUZZ_SECONDS=600 each)
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(BIN)/pytest -n auto tests/fuzz

chaos: $(INSTALLED)  ## Run against hostile servers, with kills (CHAOS_RUNS=40 CHAOS_SEED=1)
	$(BIN)/python -m tests.chaos

format: $(INSTALLED)  ## Format the code
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lint: $(INSTALLED)  ## Check style and formatting
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/hadolint --ignore DL3008 Dockerfile
	$(BIN)/shellcheck .docker/*.sh .ci/run

types: $(INSTALLED)  ## Check the types
	$(BIN)/mypy

docs: $(INSTALLED)  ## Build the documentation: docs/_build/html/index.html
	$(BIN)/python -m docs.generate
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

pictures: $(INSTALLED)  ## Take the documentation's pictures of the lookup page
	PICTURES=1 $(BIN)/pytest tests/functional/lookup/test_page.py -k pictures

lock:  ## Write the newest versions that fit setup.py to the lock, to be tested then
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --upgrade pip setuptools wheel
	$(VENV)-lock/bin/pip install --quiet -e '.[dev]'
	echo "# What buildhub is tested with. Made by: make lock" > $(CONSTRAINTS)
	$(VENV)-lock/bin/pip freeze --all --exclude-editable | LC_ALL=C sort -f >> $(CONSTRAINTS)
	rm -rf $(VENV)-lock

docker:  ## Build the image with docker, podman or buildah (TARGET=runtime|dev|kinto)
	.docker/build.sh $(TARGET) buildhub$(if $(filter-out runtime,$(TARGET)),:$(TARGET)) $(BUILDFLAGS)

ifdef IN_DOCKER
lambda.zip:  ## Make the zip for AWS Lambda (LAMBDA_ARCH=x86_64|arm64, LAMBDA_PYTHON, IN_DOCKER=1)
	$(MAKE) docker TARGET=dev
	$(or $(ENGINE),docker) run --rm -e LAMBDA_ARCH=$(LAMBDA_ARCH) -e LAMBDA_PYTHON=$(LAMBDA_PYTHON) \
		buildhub:dev lambda.zip > $(LAMBDA_ZIP).part
	mv $(LAMBDA_ZIP).part $(LAMBDA_ZIP)
else
lambda.zip: $(INSTALLED)
	$(BIN)/python .lambda/build.py --arch $(LAMBDA_ARCH) --python $(LAMBDA_PYTHON) \
		--output $(LAMBDA_ZIP)
endif
