# Everything a clone needs: `make up` to run Corral, `make test` to check it.
# The first use of a target makes .venv and installs what constraints.txt pins.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STEP   := .ci/step

# How many checks run at a time, on two cores: most of them wait more than they work, chaos most of all. The longest
# begin, so that none is left alone at the end.
JOBS   ?= 4
CHECKS := chaos-short cluster console services coverage $(MORE) rest database simulation benches

# Tests that start real servers run without the coverage tracer: it would distort their timing.
SERVERS  := tests/integration tests/contract tests/chaos
DATABASE := tests/integration/sql tests/integration/store tests/contract
CORES    := tests/unit/coordinator tests/unit/agent
CLUSTER  := tests/integration/cluster tests/integration/console tests/integration/recovery
SERVICES := tests/integration $(patsubst %,--ignore=%,$(DATABASE) $(CLUSTER))

.DEFAULT_GOAL := help
.PHONY: help up down status test timescale format lint types imports unit coverage rest console simulation sim \
    services database cluster chaos-short chaos benches bench documents clean side-by-side

help:  ## show these targets
	@awk -F ':.*##' '/^[a-z]+:.*##/ {printf "  make %-9s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.installed  ## install, start everything on this machine, open the console
	@$(BIN)/corral up

down: $(VENV)/.installed  ## stop what `make up` started
	@$(BIN)/corral down

status: $(VENV)/.installed  ## show every process with its health
	@$(BIN)/corral status

test: $(VENV)/.dev-installed  ## install what checks need and run every check
	@$(STEP) "all checks" $(MAKE) --no-print-directory format lint types imports side-by-side

# One that fails stops no other.
side-by-side: $(VENV)/.dev-installed
	@echo '== $(JOBS) at a time, each prints when it ends: $(CHECKS)'
	@$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) \
	    $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(CHECKS)

format: $(VENV)/.dev-installed
	@$(STEP) "ruff format" $(BIN)/ruff format --check .

lint: $(VENV)/.dev-installed
	@$(STEP) "ruff check" $(BIN)/ruff check .

types: $(VENV)/.dev-installed
	@$(STEP) "mypy --strict" $(BIN)/mypy

imports: $(VENV)/.dev-installed
	@$(STEP) "import contracts" $(BIN)/lint-imports

unit: $(VENV)/.dev-installed
	@$(STEP) "tests (branch coverage)" $(BIN)/coverage run -m pytest $(CORES)

rest: $(VENV)/.dev-installed
	@$(STEP) "zsh, for completion" .ci/debian zsh zsh
	@$(STEP) "fish, for completion" .ci/debian fish fish
	@$(STEP) "tests of all else" $(BIN)/python -m pytest $(patsubst %,--ignore=%,$(SERVERS) $(CORES)) \
	    --ignore=tests/sim --ignore=tests/tui

coverage: unit
	@$(STEP) "coverage of the cores = 100 %" $(BIN)/coverage report \
	    --show-missing --skip-covered --fail-under=100

simulation: $(VENV)/.dev-installed
	@$(STEP) "simulated cluster-hours" $(BIN)/python -m pytest tests/sim

sim: $(VENV)/.dev-installed  ## play one simulated history again: make sim SEED=42
	@$(BIN)/python -m tests.sim --seed $(SEED)

console: $(VENV)/.dev-installed
	@$(STEP) "tests of the console" $(BIN)/python -m pytest tests/tui

services: $(VENV)/.dev-installed
	@$(STEP) "podman, for containers" .ci/debian podman podman runc busybox-static
	@$(STEP) "docker, for containers" .ci/debian dockerd docker.io
	@$(STEP) "tests against real servers" $(BIN)/python -m pytest $(SERVICES)

database: $(VENV)/.dev-installed
	@$(STEP) "tests on PostgreSQL" $(BIN)/python -m pytest $(DATABASE)

cluster: $(VENV)/.dev-installed
	@$(STEP) "tmux, for the console" .ci/debian tmux tmux
	@$(STEP) "tests on real clusters" $(BIN)/python -m pytest $(CLUSTER)

# $CHAOS_MINUTES long, one unless said otherwise
chaos-short: $(VENV)/.dev-installed
	@$(STEP) "chaos on a real cluster" $(BIN)/python -m pytest tests/chaos

benches: $(VENV)/.dev-installed
	@$(STEP) "benches, small (no figures)" $(BIN)/python -m tests.bench --quick --json /dev/null

timescale: $(VENV)/.dev-installed  ## the database's tests on a real TimescaleDB (root, Debian)
	@$(STEP) "tests on TimescaleDB" .ci/timescale $(BIN)/python -m pytest $(DATABASE)

chaos: $(VENV)/.dev-installed  ## strike a real cluster for MINUTES=10 (SEED=N: as then), and judge it
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/.dev-installed  ## measure throughput, latency, memory (JSON on stdout)
	@$(BIN)/python -m tests.bench

documents: $(VENV)/.dev-installed  ## draw anew what documents take from the code, record this version
	@$(BIN)/python -m tests.documents

clean:  ## remove the environment and every cache
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Corral needs Python 3.11 or newer; this is " \
	    + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@$(STEP) "virtual environment" $(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(STEP) "install Corral" $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(STEP) "install Corral and its checks" $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed
