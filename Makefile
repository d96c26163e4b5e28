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

.PHONY: picture
picture: demo ## Run the demo, and draw its report into docs/images, for README; needs chromium
	@$(PY) -m sandbox.picture

.PHONY: test
test: setup $(VENV)/.compiled ## Run all tests, on a real control plane and an emulated AWS; a running sandbox keeps running
	@if ! $(PY) -m sandbox status >/dev/null 2>&1; then trap '$(PY) -m sandbox down' EXIT; fi; \
	$(PY) -m sandbox up; \
	$(PY) -m pytest -n $(JOBS) --dist worksteal tests --ignore=tests/install --ignore=tests/after $(ARGS); \
	if [ -z "$(ARGS)" ]; then $(PY) -m pytest -q tests/after; fi

# Two clusters share the work, the longest first; then, alone, what measures how soon a pod works, and what the machine has left.
LONGEST := tests/install/test_failing.py tests/install/test_story.py tests/install/test_release.py
ALONE := tests/install/test_image.py tests/install/test_end.py

.PHONY: test-install
test-install: setup ## Test what users install, in pods of a whole cluster; prints why if no cluster can run here
	@$(PY) -m pytest -n 2 --dist loadfile $(LONGEST) $(filter-out $(LONGEST) $(ALONE),$(wildcard tests/install/test_*.py)) $(ARGS)
	@if [ -z "$(ARGS)" ]; then $(PY) -m pytest -q $(ALONE); fi

.PHONY: test-browser
test-browser: setup ## Test the report's page in Debian's chromium, with axe-core from npm
	@command -v chromium >/dev/null && command -v npm >/dev/null || \
		{ echo "chromium and npm are needed: apt-get install chromium npm" >&2; exit 1; }
	@mkdir -p $(BUILD)/browser && cp tests/browser/package.json tests/browser/package-lock.json $(BUILD)/browser/
	@cd $(BUILD)/browser && npm ci --silent --ignore-scripts --no-audit --no-fund
	@HUMANGOV_REQUIRE_BROWSER=1 $(PY) -m pytest -q tests/browser $(ARGS)

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

.PHONY: sandbox-env
sandbox-env: setup ## Print variables for humangov and kubectl: eval "$$(make -s sandbox-env)"
	@$(PY) -m sandbox env

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
	@$(MAKE) --no-print-directory $(BUILD)/lint/.complete && $(PY) -m deploy.lint bandit parliament cfn-lint

.PHONY: lint-security
lint-security: setup $(BUILD)/lint/.complete $(BUILD)/checkov/.complete ## Look for weaknesses in code, policies and manifests
	@$(PY) -m deploy.lint

# Linters, each set in an environment of its own: they pin what the project uses in other versions.
$(BUILD)/%/.complete: requirements/%.txt | $(UV)
	@$(UV) venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(BUILD)/$*
	@$(UV) pip sync -q --python $(BUILD)/$*/bin/python --require-hashes $<
	@touch $@

.PHONY: format
format: setup ## Format the code
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

.PHONY: manifests
manifests: setup ## Render deploy/install.yaml and docs/api.md from their sources
	@$(PY) -m deploy.render

.PHONY: lock
lock: $(UV) ## Resolve requirements/*.in into the hash-locked requirements/*.txt
	@for name in uv build run dev aws release docs lint checkov; do \
		$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
			--no-header --no-annotate requirements/$$name.in -o requirements/$$name.txt; done

IMAGE ?= humangov-operator:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' operator/humangov/__init__.py)

.PHONY: image
image: ## Build the image with docker; IMAGE=name:tag
	@docker buildx build --load --tag $(IMAGE) .

.PHONY: sbom
sbom: $(BUILD)/release-venv/.complete ## Write .build/release/sbom.cdx.json (CycloneDX): what the image holds of Python
	@mkdir -p $(BUILD)/release
	@$(BUILD)/release-venv/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o $(BUILD)/release/sbom.cdx.json requirements/run.txt

.PHONY: site
site: $(BUILD)/docs-venv/.complete ## Write the documents as a site to .build/site; fails at a link that leads nowhere
	@NO_MKDOCS_2_WARNING=1 $(BUILD)/docs-venv/bin/mkdocs build --strict --clean

.PHONY: release-check
release-check: setup ## Check that everything has the version of a tag: TAG=v1.2.3
	@$(PY) -m deploy.release check --tag "$(TAG)"

.PHONY: release-notes
release-notes: setup ## Write .build/release/notes.md from the changelog: TAG=v1.2.3
	@$(PY) -m deploy.release notes --tag "$(TAG)"

.PHONY: chart
chart: setup ## Package the chart for a release: IMAGE=name@sha256:… SOURCE=address
	@$(PY) -m deploy.release chart --image "$(IMAGE)" --source "$(SOURCE)"

$(BUILD)/release-venv/.complete: requirements/release.txt | $(UV)
	@$(UV) venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(BUILD)/release-venv
	@$(UV) pip install -q --python $(BUILD)/release-venv/bin/python --require-hashes -r requirements/release.txt
	@touch $@

$(BUILD)/docs-venv/.complete: requirements/docs.txt | $(UV)
	@$(UV) venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(BUILD)/docs-venv
	@$(UV) pip install -q --python $(BUILD)/docs-venv/bin/python --require-hashes -r requirements/docs.txt
	@touch $@

.PHONY: clean
clean: ## Remove everything that was built
	@if [ -x $(PY) ]; then $(PY) -m sandbox down || true; $(CLUSTER) $(PY) -m sandbox down || true; fi
	@$(END_BUILD)
	@rm -rf $(BUILD)

.PHONY: setup
setup: $(VENV)/.complete

# The first build of the control plane takes minutes, and what it begins with can be compiled while packages are fetched.
# sandbox/build.py goes on with what it left in Go's cache.
BUILDS := $(filter demo picture test sandbox,$(MAKECMDGOALS))
GO_CACHE := $(abspath $(HUMANGOV_CACHE))
BEGUN := $(BUILD)/begin-build.pid
# Only what is still that build: another process may have its number meanwhile.
END_BUILD = if [ -e $(BEGUN) ]; then case "$$(tr '\0' ' ' </proc/$$(cat $(BEGUN))/cmdline 2>/dev/null || true)" in \
	"timeout 120 go build "*) kill "$$(cat $(BEGUN))" 2>/dev/null || true;; esac; rm -f $(BEGUN); fi
.PHONY: begin-build
begin-build:
	@$(END_BUILD)
	@if [ -n "$(BUILDS)" ] && [ ! -e $(VENV)/.complete ] && [ -z "$${KUBEBUILDER_ASSETS:-}" ] && command -v go >/dev/null && \
		[ ! -d "$${XDG_DATA_HOME:-$$HOME/.local/share}/kubebuilder-envtest" ] && ! compgen -G "$(GO_CACHE)/controlplane-*" >/dev/null && \
		mkdir -p $(BUILD) $(GO_CACHE) && [ "$$(df -Pk $(GO_CACHE) | awk 'NR == 2 { print $$4 }')" -gt 6000000 ]; then \
		cd sandbox/controlplane; \
		GOENV="$${GOENV:-$${XDG_CONFIG_HOME:-$$HOME/.config}/go/env}" XDG_CONFIG_HOME=$(GO_CACHE)/go-config \
		CGO_ENABLED=0 GOWORK=off GOTOOLCHAIN=local GOFLAGS="$${GOFLAGS:-} -modcacherw -buildvcs=false" \
		GOMODCACHE=$(GO_CACHE)/go-mod GOCACHE=$(GO_CACHE)/go-build \
		timeout 120 go build -mod=readonly -trimpath -o /dev/null . >/dev/null 2>&1 & echo $$! >$(BEGUN); fi

$(UV): | begin-build
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11, 3.12 or 3.13 is needed and none is on the PATH; or say make PYTHON=…" >&2; exit 1; fi
	@mkdir -p $(BUILD)/bin
	@if command -v uv >/dev/null; then ln -sf "$$(command -v uv)" $@; else \
		echo "setup: fetching uv"; rm -rf $(BUILD)/uv-venv; $(PYTHON) -m venv $(BUILD)/uv-venv; \
		$(BUILD)/uv-venv/bin/pip install -q --require-hashes -r requirements/uv.txt; \
		ln -sf $(BUILD)/uv-venv/bin/uv $@; fi

$(VENV)/.complete: requirements/dev.txt pyproject.toml | $(UV)
	@echo "setup: the project's environment ($(PYTHON))"
	@$(UV) venv -q --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip install -q --python $(PY) --require-hashes -r requirements/dev.txt
	@$(UV) pip install -q --python $(PY) --no-deps --no-build-isolation --editable .
	@for name in humangov kubectl-humangov kubectl_complete-humangov; do ln -sf $(VENV)/bin/$$name $(BUILD)/bin/$$name; done
	@$(END_BUILD)
	@touch $@

# Six workers would each compile what they import first.
$(VENV)/.compiled: $(VENV)/.complete
	@$(PY) -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@
