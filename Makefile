# Works on a machine with Python 3.11+ and make; everything else goes into $(VENV).
.DEFAULT_GOAL := help
.PHONY: help run test coverage lint bench soak chaos conformance clean
.DELETE_ON_ERROR:

VENV   ?= .venv
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)
ORIGIN ?=
LISTEN ?= 127.0.0.1:8080

help:
	@echo 'make run                                 the demo shop with edgeproxy in front, on 127.0.0.1:8080'
	@echo 'make run ORIGIN=http://localhost:3000    edgeproxy in front of your own service (LISTEN=HOST:PORT)'
	@echo 'make test                                lint, types, all tests'
	@echo 'make coverage                            all tests with branch coverage, which takes them longer'
	@echo 'make lint                                ruff and mypy only'
	@echo 'make bench                               CPU per request beside nginx, HAProxy and Varnish'
	@echo 'make soak                                ten million requests; fails where memory leaves its budget'
	@echo 'make chaos                               breaks everything under load, one by one, then at random'
	@echo 'make conformance                         the public HTTP cache tests, beside what others reach (needs Node)'
	@echo 'make clean                               remove the virtual environment and what the tools left'
	@echo
	@echo 'PYTHON=/path/to/python3.11 chooses the interpreter, VENV=DIR the place of the virtual environment.'

run: $(VENV)/.installed
	@exec $(VENV)/bin/edgeproxy $(if $(ORIGIN),run --origin '$(ORIGIN)' --listen '$(LISTEN)',demo --listen '$(LISTEN)')

test: lint
	$(VENV)/bin/python -m pytest -n 3

coverage: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -n 3 --cov --cov-report=term

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.installed
	$(VENV)/bin/python -m tests.benchmarks.bench $(ARGS)

soak: $(VENV)/.installed
	$(VENV)/bin/python -m tests.benchmarks.soak $(ARGS)

chaos: $(VENV)/.installed-test
	@$(VENV)/bin/python -m tests.chaos $(ARGS)

conformance: $(VENV)/.installed
	@$(VENV)/bin/python -m tests.conformance $(ARGS)

clean:
	rm -rf $(VENV) .cache/conformance build dist *.egg-info .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment: made once, installed again only when pyproject.toml changes ---

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing edgeproxy into $(VENV) ...'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing edgeproxy and its test tools into $(VENV) ...'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@ $(VENV)/.installed

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { \
	  echo 'edgeproxy needs Python 3.11 or newer, and none was found on PATH.' >&2; \
	  echo 'Install one, or name it: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "edgeproxy needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) comes without its venv module. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
