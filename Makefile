# Thin on purpose: each target is a command or two that can be typed by hand as well.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
# three at a time on two cores: live tests wait for servers most of the time
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
VENV := .venv/.installed
MAKEFLAGS += --no-print-directory

.PHONY: help venv lab-packages images demo test bench lab lint benchmark lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV) ## the virtual environment .venv, from the hashed lock file

$(VENV): requirements.lock pyproject.toml
	@runbook/lab/setup/venv.sh "$(PYTHON)"
	@touch $@

lab-packages: ## the Debian packages that lab servers and their tests need (as root)
	@runbook/lab/setup/packages.sh test

images: lab-packages $(VENV) ## the images of all lab servers, built where missing or changed
	@$(BIN)/python -m runbook.lab build

demo: ## set everything up, take a throw-away server through the runbook, twice
	@runbook/lab/setup/packages.sh demo
	@$(MAKE) -s venv
	@$(BIN)/python -m runbook.lab.demo

# the tests start the command some hundred times; where Python is told to keep no bytecode, each start would compile
test: images ## set everything up and run all tests, on throw-away servers too
	@$(BIN)/python -m compileall -q runbook lib
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: images ## time, memory and round trips of a first run, a second run and an audit
	@$(BIN)/python -m runbook.lab.bench

lab: $(VENV) ## JupyterLab on the notebooks
	@$(BIN)/jupyter lab notebooks/00_start_here.ipynb --FileContentsManager.pre_save_hook=runbook.exemplars.clean $$([ "$$(id -u)" != 0 ] || echo --allow-root)

lint: $(VENV) ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

benchmark: $(VENV) ## runbook/BENCHMARK.md anew from the checks
	@$(BIN)/python -m runbook.benchmark

lock: $(VENV) ## requirements.lock anew from pyproject.toml (needs uv, fetched into a scratch environment)
	@runbook/lab/setup/lock.sh

clean: ## remove this checkout's lab servers, environment and caches, and all lab images
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m runbook.lab clean
	@rm -rf .venv .lab build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
