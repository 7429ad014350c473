# make run   opens the app on the embedded model (ARGS="gpt2 --prompt …" passes arguments)
# make test  runs every check
# Both make .venv first, from constraints.txt, and are instant once it is there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
PYTEST_ARGS ?=
RUNTIME := $(VENV)/.installed
CHECKS := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help run test lint bench soak demo-model demo-eval screens wheel clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -3
	@echo "also: make lint bench soak demo-model demo-eval screens wheel clean; PYTHON=/path/to/python chooses the Python"

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "$(PYTHON) was not found: install Python 3.11 or newer, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, $(PYTHON) is `"$(PYTHON)" --version`: run make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(CHECKS): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(RUNTIME) $@

run: $(RUNTIME)
	@$(BIN)/python -m tui $(ARGS)

# Cheapest first; the tests' own summary is the last thing printed.
# Unit, Pilot and snapshot tests share the cores; what drives real terminals runs without them, one after the other, and
# beside them the soak: such a test waits more than it computes.
# A Pilot sleeps after each key for a third of a test's time: half as many workers again as cores use it.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
ALONE := tests/e2e tests/faults/test_full_disk.py tests/faults/test_stopped.py tests/faults/test_terminal.py tests/cluster tests/test_wheel.py tests/test_cli.py
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(addprefix --ignore=,$(ALONE) tests/soak) $(PYTEST_ARGS)
	@soak=$$(mktemp); $(BIN)/python -m pytest tests/soak $(PYTEST_ARGS) >$$soak 2>&1 & beside=$$!; status=0; \
	echo "$(BIN)/python -m pytest tests/soak   (beside the next)"; echo "$(BIN)/python -m pytest $(ALONE)"; \
	$(BIN)/python -m pytest $(ALONE) $(PYTEST_ARGS) || status=$$?; \
	wait $$beside || status=$$?; cat $$soak; rm -f $$soak; exit $$status

lint: $(CHECKS)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(CHECKS)
	$(BIN)/python -m tests.benchmarks $(ARGS)

# An hour of random inputs, model switches and cut lines; ARGS="--minutes 5 --seed 3" for less, or others.
soak: $(CHECKS)
	$(BIN)/python -m tests.soak $(ARGS)

demo-model: $(CHECKS)
	$(BIN)/python assets/demo/train.py $(ARGS)

demo-eval: $(CHECKS)
	$(BIN)/python assets/demo/evaluate.py $(ARGS)

screens: $(CHECKS)
	$(BIN)/python assets/screens/make.py $(ARGS)

wheel: $(CHECKS)
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache snapshot_report.html
	find assets tests tui -name __pycache__ -type d -exec rm -rf {} +
