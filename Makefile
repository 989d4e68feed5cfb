# What can be done with this repository; `make` alone prints the list.
# A fresh machine needs Rust (rustup), Python 3.11 or later with pip, make and a C compiler; everything else is set up here.

PYTHON ?= python3
# Architecture of the artifact that `make build` makes: arm64 or x86-64.
ARCH ?= arm64

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Taken before the next line puts our own python3 in front.
BASE_PYTHON := $(shell command -v $(PYTHON))
# `cargo lambda` and `python3 -m ziglang` come from here.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

UV := .venv-uv/bin/uv
CARGO := cargo

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z0-9_-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.ready .venv-aws/.ready ## Set up the Python parts of the local stack (once; seconds)

.PHONY: demo
demo: setup ## Watch a sync happen on this machine: five databases, edits, removals, no cloud account
	$(CARGO) build --locked --workspace --bins
	@# By itself, as `cargo lambda watch` runs it: with the workspace's features it would be built while the demo waits.
	$(CARGO) build --locked --bin notion-sync-lambda
	target/debug/notion-sync-local demo

.PHONY: test
test: setup ## Run all tests: unit, property and end to end on the local stack
	$(CARGO) test --locked --workspace

.PHONY: check
check: setup ## Check format, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --bin notion-sync-lambda --bin notion-sync -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: bench
bench: setup ## Measure the pipeline on synthetic pages, and a first sync of 25,000 rows on the local stack
	$(CARGO) bench --locked --bench pipeline --bench walk_25000

.PHONY: build
build: setup ## Build the Lambda's artifact, target/lambda/notion-sync-lambda/bootstrap (ARCH=arm64|x86-64)
	$(if $(filter arm64,$(ARCH)),rustup target add aarch64-unknown-linux-gnu)
	$(CARGO) lambda build --locked --release --$(ARCH) --bin notion-sync-lambda

.PHONY: ci
ci: check test demo lint-infra test-deploy ## Everything that continuous integration runs

.PHONY: requirements
requirements: .venv-uv/.ready ## Pin the Python requirements anew, after an edit of requirements/*.in
	for file in requirements/*.in; do $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make requirements' $$file --output-file $${file%.in}.txt; done

# Each environment is made anew when its list of requirements changes; its stamp is written last.
# uv goes into a plain folder: that works where Python has pip but no venv module.
.venv-uv/.ready: requirements/uv.txt
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	rm -rf .venv-uv
	$(BASE_PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .venv-uv --requirement requirements/uv.txt
	@touch $@

.venv/.ready: requirements/tools.txt .venv-uv/.ready
	$(call make_environment,.venv,requirements/tools.txt)
	@touch $@

.venv-aws/.ready: requirements/aws.txt .venv-uv/.ready
	$(call make_environment,.venv-aws,requirements/aws.txt)
	@touch $@

define make_environment
	$(UV) venv --quiet --clear --no-python-downloads --python $(BASE_PYTHON) $(1)
	$(UV) pip sync --quiet --require-hashes --python $(1)/bin/python $(2)
endef

# Deployment: deploy, destroy, logs, invoke, test-deploy, lint-infra.
-include infra/deploy.mk
