# make install · make demo · make test · make check · make bench · make gate · make release
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(wildcard native/*.pyx native/*.pxd native/core/*.c native/core/*.h)

.PHONY: install train demo test check bench gate release clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	@./launch/preflight.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt "setuptools>=77" "cython>=3.1" wheel
	@echo "installing spinal (core, sim, dev) into $(VENV) ..."
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[sim,dev]"
	@touch $(STAMP)

train: install
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[sim,dev,train]"

demo: install
	@$(BIN)/spinal demo $(ARGS)

test: install
	@$(BIN)/python -m pytest $(ARGS)

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

bench: install
	@$(BIN)/spinal bench $(or $(ARGS),run)

gate: install
	@$(BIN)/spinal bench gate $(ARGS)

# Nothing is built from a tree that was changed, fails a check, or does not pass the gate: make stops at the first.
release: install
	@test -z "$$(git status --porcelain)" || { echo "release: commit or remove what git status lists" >&2; exit 1; }
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test
	@mkdir -p dist
	@$(BIN)/spinal bench gate --json dist/gate.json || \
	  { code=$$?; echo "release: refused, the gate did not pass (exit code $$code)" >&2; exit $$code; }
	@$(BIN)/pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w dist .
	@ls dist

clean:
	rm -rf $(VENV) build dist *.egg-info native/*.c native/*.so
