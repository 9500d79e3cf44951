# Every target does its own set-up: a fresh machine needs CPython 3.11+, a Rust toolchain and a C compiler.
#
#   PYTHON=/path/to/python   the interpreter to build for (default: the newest that works, tools/find_python)
#   VENV=.venv-3.11          where its virtual environment goes (default .venv)
#   PROFILE=quick            build without fat LTO, for iterating (default release)
#   ARGS='-k channel -x'     passed on to pytest, to the demo, or to the bench programme
SHELL := /bin/bash
PYTHON ?= $(shell tools/find_python)
VENV ?= .venv
PROFILE ?= release
ARGS ?=
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help build demo test conformance core-test loom soak lint format docs api bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# What must be on the machine; each line that is missing says what to install.
.PHONY: tools-there
tools-there:
	@cargo --version >/dev/null 2>&1 || { echo "taskloom needs a Rust toolchain (cargo 1.88 or newer): install it from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "taskloom needs a C compiler (cc) to link with: install gcc or clang (on Debian: apt-get install gcc libc6-dev)"; exit 1; }

# A failed step leaves no half-made environment behind.
$(VENV)/ready:
	@$(MAKE) -s --no-print-directory tools-there
	@python='$(PYTHON)'; test -n "$$python" || exit 1; \
	problem=$$(tools/find_python --check "$$python") || { echo "$$problem"; exit 1; }; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "$$python could not make a virtual environment: install its venv module (on Debian: apt-get install python3-venv)"; exit 1; }
	@$(PIP) --upgrade 'pip>=25.1' 'maturin>=1.8,<2'
	@touch $@

$(VENV)/has-%: pyproject.toml $(VENV)/ready
	@$(PIP) --group $*
	@touch $@

# One stamp per profile, of which only the last built is there: a quick build never passes for a release build.
$(VENV)/built-$(PROFILE): $(VENV)/ready $(RUST_SOURCES)
	@$(MAKE) -s --no-print-directory tools-there
	@rm -f $(VENV)/built-*
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop -q --profile $(PROFILE)
	@touch $@

build: $(VENV)/built-$(PROFILE) $(VENV)/has-test ## build the extension into .venv

demo: build ## map the standard library's source: a real task graph, with its speed-up
	$(BIN)/python examples/codebase_atlas.py $(ARGS)

test: build ## the Python tests, with every docstring example and every example programme
	$(BIN)/python -m pytest -q -m 'not soak' $(ARGS)

conformance: build $(VENV)/has-conformance ## LangGraph's suite for savers on ours, and its savers under our engine
	$(BIN)/python -m pytest -q -m 'not soak' tests/pregel $(ARGS)

core-test: tools-there ## the Rust tests of the core
	cargo test -q -p taskloom-core

# Models are the core tests whose path contains "loom"; a bound on preemptions keeps them finite.
loom: tools-there ## the loom models of the core
	LOOM_MAX_PREEMPTIONS=$${LOOM_MAX_PREEMPTIONS:-3} RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
	cargo test -q -p taskloom-core --lib --tests --profile quick loom

soak: build ## the stress tests that take minutes
	$(BIN)/python -m pytest -q -m soak --timeout 1800 $(ARGS)

lint: build $(VENV)/has-lint ## rustfmt, clippy (also for free-threaded 3.14), ruff, mypy, the stub against the binary, basedpyright
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { echo "make lint needs rustfmt and clippy: rustup component add rustfmt clippy"; exit 1; }
	cargo fmt --all --check
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy -q --workspace --all-targets -- -D warnings
	PYO3_CONFIG_FILE=$(abspath tools/cpython-3.14t.txt) CARGO_TARGET_DIR=target/3.14t cargo clippy -q -p taskloom-python --lib -- -D warnings
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest taskloom._taskloom --allowlist tools/stubtest-allowlist
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: $(VENV)/has-lint ## let rustfmt and ruff put the source in order
	cargo fmt --all
	$(BIN)/ruff check -q --fix .
	$(BIN)/ruff format -q .

docs: build ## run every example in README and docs/, check their links, run the docstring examples
	$(BIN)/python tools/check_docs.py
	$(BIN)/python -m pytest -q tests/test_docstrings.py

api: build ## write down the public names as they are now (tests/public_api/)
	$(BIN)/python tools/public_api.py

bench: build $(VENV)/has-bench ## every benchmark with its peers, within ten minutes; results in build/bench/
	$(BIN)/python benches/run.py $(ARGS)

clean: ## remove what was built
	rm -rf target build .venv .venv-* python/taskloom/*.so
