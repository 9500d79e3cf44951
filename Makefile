# Every target does its own set-up: a fresh machine needs Python 3.11+, a Rust toolchain and a C compiler.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.14 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= release
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help
.PHONY: help build test lint clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "taskloom needs Python 3.11 or newer on PATH"; exit 1; }
	@command -v cargo >/dev/null || { echo "taskloom needs a Rust toolchain (cargo) on PATH: https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "taskloom needs a C compiler (cc) on PATH"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade 'pip>=25.1' 'maturin>=1.8,<2'
	$(BIN)/pip install -q --group test --group lint
	@touch $@

$(VENV)/built: $(VENV)/ready $(RUST_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop -q --profile $(PROFILE)
	@touch $@

build: $(VENV)/built ## build the extension into .venv

test: build ## run the Python tests
	$(BIN)/python -m pytest -q -m 'not soak'

lint: build ## rustfmt, clippy, ruff, mypy
	cargo fmt --all --check
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy -q --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove what was built
	rm -rf target build $(VENV)
