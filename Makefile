# make demo   train on scikit-learn's digits, predict, evaluate and explain by command line
# make test   all tests
# make lint   style, types, import order            make docs   the documentation site
#
# Each sets up .venv first; a second call finds it ready. PYTHON=/path/to/python3 chooses the interpreter.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
# The newest Python from 3.11 on that runs (a shim of pyenv may exist and yet not run).
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)

.PHONY: demo test lint docs clean

demo: $(VENV)/.installed
	rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(BIN)/python examples/digits_csv.py $(DEMO)
	$(BIN)/schuss train $(DEMO)/digits.csv --target digit --out $(DEMO)/run
	$(BIN)/schuss predict $(DEMO)/run $(DEMO)/new_digits.csv --proba --out $(DEMO)/predictions.csv
	head -n 4 $(DEMO)/predictions.csv | cut -c 1-100
	$(BIN)/schuss evaluate $(DEMO)/run $(DEMO)/new_digits.csv
	$(BIN)/schuss explain $(DEMO)/run --top 5
	@echo
	@echo "The report: open $(CURDIR)/$(DEMO)/run/report.html in a browser."

test: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.tests
	$(BIN)/sphinx-build -E -W -n --keep-going --quiet -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build runs/demo

$(VENV)/.python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "schuss needs Python 3.11 or newer, and none was found: install one, or name it with PYTHON=/path/to/python3" >&2; \
		exit 1; fi
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu, 'apt install python3-venv' brings it" >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	@echo "Installing schuss into $(VENV) …"
	@$(BIN)/python -m pip install --quiet -e .
	@touch $@

# torch is only an oracle in the tests; the pinned version makes its answers the same everywhere.
$(VENV)/.tests: $(VENV)/.python pyproject.toml
	@echo "Installing schuss and what its tests need into $(VENV); this takes some minutes …"
	@$(BIN)/python -m pip install --quiet -e '.[dev]' torch==2.13.0
	@touch $@ $(VENV)/.installed
