# make install · make demo · make test · make check · make bench
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(wildcard native/*.pyx native/*.pxd native/core/*.c native/core/*.h)

.PHONY: install train demo test check bench clean

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
	@$(BIN)/python -m spinal.bench $(or $(ARGS),task)

clean:
	rm -rf $(VENV) build *.egg-info native/*.c native/*.so
