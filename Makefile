# `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Everything that is built or downloaded lies under .build; HUMANGOV_CACHE may name a cache that outlives a checkout.
BUILD := $(CURDIR)/.build
export HUMANGOV_CACHE ?= $(BUILD)/cache
export UV_CACHE_DIR ?= $(HUMANGOV_CACHE)/uv
export UV_LINK_MODE ?= copy
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without bytecode every start of the operator compiles the SDKs anew. sandbox/local_operator.py names the same folder.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(BUILD)/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(BUILD)/hypothesis

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
UV := $(BUILD)/bin/uv
VENV := $(BUILD)/venv
PY := $(VENV)/bin/python
# More than cores: many tests wait for a clock or another process (testing/order.py).
JOBS ?= 6
NAME ?= calls
WEATHER ?=
SEED ?=
# A sandbox of its own beside that of the demo and the tests.
CLUSTER := HUMANGOV_SANDBOX_DIR=$(or $(HUMANGOV_CLUSTER_DIR),$(BUILD)/cluster)
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Set everything up and run the demo; WEATHER=stormy adds AWS errors and delays
	@$(PY) -m sandbox.demo $(if $(WEATHER),--weather $(WEATHER)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: test
test: setup ## Run all tests, on a real control plane and an emulated AWS; a running sandbox keeps running
	@if ! $(PY) -m sandbox status >/dev/null 2>&1; then trap '$(PY) -m sandbox down' EXIT; fi; \
	$(PY) -m sandbox up; \
	$(PY) -m pytest -n $(JOBS) --dist worksteal tests --ignore=tests/install --ignore=tests/after $(ARGS); \
	if [ -z "$(ARGS)" ]; then $(PY) -m pytest -q tests/after; fi

# Two clusters share the work, so the longest begin; the last one looks at what the whole machine has left.
LONGEST := tests/install/test_failing.py tests/install/test_release.py
ALONE := tests/install/test_end.py

.PHONY: test-install
test-install: setup ## Test what users install, in pods of a whole cluster; prints why if no cluster can run here
	@$(PY) -m pytest -n 2 --dist loadfile $(LONGEST) $(filter-out $(LONGEST) $(ALONE),$(wildcard tests/install/test_*.py)) $(ARGS)
	@if [ -z "$(ARGS)" ]; then $(PY) -m pytest -q $(ALONE); fi

.PHONY: cluster
cluster: setup ## Start a cluster with a node, image and chart, and run the demo in pods; the cluster stays up
	@$(CLUSTER) $(PY) -m sandbox.demo --pods $(ARGS)

.PHONY: cluster-env
cluster-env: setup ## Print variables for kubectl and helm: eval "$$(make -s cluster-env)"
	@$(CLUSTER) $(PY) -m sandbox env

.PHONY: cluster-down
cluster-down: setup ## Stop the cluster, and check that nothing of it remains
	@$(CLUSTER) $(PY) -m sandbox down

.PHONY: sandbox
sandbox: setup ## Start the control plane and the emulated AWS, and keep them running
	@$(PY) -m sandbox up

.PHONY: sandbox-down
sandbox-down: setup ## Stop what `make sandbox` started
	@$(PY) -m sandbox down

.PHONY: bench
bench: setup ## Run a benchmark: make bench NAME=calls
	@$(PY) -m bench $(NAME) $(ARGS)

.PHONY: lint
lint: setup ## Check style, types, layers and stale files; needs no Go
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy --cache-dir $(HUMANGOV_CACHE)/mypy
	@$(VENV)/bin/lint-imports --no-logo --cache-dir $(BUILD)/import-linter
	@$(PY) -m deploy.render --check

.PHONY: format
format: setup ## Format the code
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

.PHONY: manifests
manifests: setup ## Render deploy/install.yaml and docs/api.md from their sources
	@$(PY) -m deploy.render

.PHONY: lock
lock: $(UV) ## Resolve requirements/*.in into the hash-locked requirements/*.txt
	@for name in uv build run dev aws; do \
		$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
			--no-header --no-annotate requirements/$$name.in -o requirements/$$name.txt; done

.PHONY: clean
clean: ## Remove everything that was built
	@if [ -x $(PY) ]; then $(PY) -m sandbox down || true; $(CLUSTER) $(PY) -m sandbox down || true; fi
	@rm -rf $(BUILD)

.PHONY: setup
setup: $(VENV)/.complete

$(UV):
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 is needed and none is on the PATH; or say make PYTHON=…" >&2; exit 1; fi
	@mkdir -p $(BUILD)/bin
	@if command -v uv >/dev/null; then ln -sf "$$(command -v uv)" $@; else \
		echo "setup: fetching uv"; rm -rf $(BUILD)/uv-venv; $(PYTHON) -m venv $(BUILD)/uv-venv; \
		$(BUILD)/uv-venv/bin/pip install -q --require-hashes -r requirements/uv.txt; \
		ln -sf $(BUILD)/uv-venv/bin/uv $@; fi

$(VENV)/.complete: requirements/dev.txt pyproject.toml | $(UV)
	@echo "setup: the project's environment ($(PYTHON))"
	@$(UV) venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip install -q --compile-bytecode --python $(PY) --require-hashes -r requirements/dev.txt
	@$(UV) pip install -q --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@
