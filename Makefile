# Every target sets up what it needs: a machine with git, make and Python 3.11+ is enough.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Bytecode is written once and kept: without it every command and test would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
LOCAL := .local
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(LOCAL)/uv/bin/uv)
# Every lock is compiled from pyproject.toml; they name versions and hashes, never an index (docs/decisions/0002).
UV_COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

.PHONY: help
help: ## What can be done here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

# --- setting up -------------------------------------------------------------------------------------------------------

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { echo "Regulars needs Python 3.11 or newer, and '$(PYTHON)' is not on the PATH. Install it, or say where: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Regulars needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Say where a newer one is: make PYTHON=/path/to/python3 …" >&2; exit 1; }

$(LOCAL)/uv/bin/uv: | python
	@echo "uv is not installed; fetching it into $(LOCAL)/uv"
	@$(PYTHON) -m venv $(LOCAL)/uv
	@$(LOCAL)/uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

$(VENV)/.synced: locks/dev.txt pyproject.toml | python $(UV)
	@echo "making the development environment in $(VENV)"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip sync --quiet --compile-bytecode --require-hashes locks/dev.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@

.PHONY: setup
setup: $(VENV)/.synced ## Make the development environment (.venv)

.PHONY: lock
lock: | python $(UV) ## Pin the newest allowed versions of everything
	@$(UV_COMPILE) --upgrade pyproject.toml --extra cli --group dev -o locks/dev.txt
	@$(UV_COMPILE) --upgrade pyproject.toml --constraint locks/dev.txt -o locks/lambda.txt
	@for tool in ministack microburst lint checkov; do $(UV_COMPILE) --upgrade locks/$$tool.in -o locks/$$tool.txt; done

# --- checking ---------------------------------------------------------------------------------------------------------

.PHONY: check
check: format-check lint types contracts validate test mutants ## All that CI runs: format, lint, types, import contracts, template, tests, mutants

.PHONY: format
format: setup ## Format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix --select I .

.PHONY: format-check
format-check: setup
	@$(BIN)/ruff format --quiet --check . || { echo "make format mends this" >&2; exit 1; }

.PHONY: lint
lint: setup ## Look for mistakes in the code
	@$(BIN)/ruff check --quiet .

.PHONY: types
types: setup ## Check the types
	@$(BIN)/mypy
	@$(BIN)/mypy bench tools tests/engines.py tests/stack.py tests/local tests/build tests/handlers tests/schema tests/replay tests/scale

.PHONY: contracts
contracts: setup ## Check that the rooms import one way only
	@$(BIN)/lint-imports --no-logo

# Two workers: what the tests mostly do is wait for engines. Files stay together, because stacks are started by file.
TEST_WORKERS ?= 2
# Hundreds of callers at once leave no room for other tests beside them.
ALONE := tests/storage/test_races.py tests/local/test_races.py

.PHONY: test
test: local-tools microburst build-here rie ## Run every test from nothing
	@$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile $(ALONE:%=--ignore %)
	@$(BIN)/pytest $(ALONE)

# Twenty times as many stories of the ledger and of the stores, and deliveries over a bad network, and new ones each time; a
# failure prints how to see it again. What the deliveries came to is written to build/soak.json.
SOAK ?= 20

.PHONY: soak
soak: local-tools microburst ## Search for broken rules for an hour or so (SOAK=20 times as long as make test)
	@REGULARS_SOAK=$(SOAK) $(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --timeout 7200 tests/domain tests/storage tests/faults

.PHONY: mutants
mutants: setup ## Make every seeded mistake of tests/mutants.toml, and see that the tests notice it
	@$(BIN)/python -m tools.mutants

.PHONY: schema
schema: setup ## Write schema.graphql and docs/events/, the contracts as they are reviewed
	@$(BIN)/python -m tools.schema > schema.graphql
	@$(BIN)/python -m tools.event_schemas

include make/*.mk
