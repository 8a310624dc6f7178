# Two commands: `make run` (the sample through the whole pipeline, then the UI) and `make test`.
# They need Python 3.11 or newer and the package registry; everything goes into .venv.

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

.PHONY: run test lock format clean

run: $(STAMP)
	$(VENV)/bin/mistudio demo $(ARGS)

test: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	DAGSTER_HOME= $(VENV)/bin/dagster definitions validate -w workspace.yaml
	$(VENV)/bin/dg check defs
	$(VENV)/bin/pytest -n 2 --dist loadfile $(ARGS)

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
