# `make` lists the targets. All of them work on a machine that has Go; tests, the benchmark and the demo
# start their own PostgreSQL, from the machine's binaries or from fetched ones.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO      ?= go
CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/outflow
FILES   ?= 1000
VERSION ?= 17
GOAL    := 90

# What coverage counts: all packages but tools of tests, and main programs that measure or show.
EXCLUDED := /internal/pgtest$$|/internal/estest$$|/internal/nebulatest$$|/internal/producers$$|/backends/backendtest$$|/internal/esserver/fetch$$|/integration|/bench|/examples/[^/]+$$
COVERED   = $(shell $(GO) list ./... | grep -Ev '$(EXCLUDED)' | paste -sd, -)

LINT_VERSION = $(shell awk '$$1 == "github.com/golangci/golangci-lint/v2" { print $$2 }' tools/go.mod)
LINT         = $(CACHE)/bin/golangci-lint-$(LINT_VERSION)

.PHONY: help build test test-postgres elasticsearch lint linter bench demo python generate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the command, bin/outflow
	$(GO) build -o bin/outflow ./cmd/outflow

test: ## run all tests, with the race detector; fails under 90 % coverage
	@$(GO) test -race -timeout 40m -coverpkg=$(COVERED) -coverprofile=coverage.out ./... \
		| awk '{ sub(/\tcoverage: .*/, ""); print; fflush() }'
	@$(GO) tool cover -func=coverage.out | awk -v goal=$(GOAL) '/^total:/ { total = $$NF + 0 } \
		END { printf "coverage: %.1f %% of statements (goal: %d %%)\n", total, goal; exit total < goal }'

test-postgres: ## run all tests on another PostgreSQL, fetched if need be: VERSION=13 to 18
	OUTFLOW_TEST_PGVERSION=$(VERSION) $(GO) test -timeout 5m -count=1 -v -run TestFetchedRuns ./internal/pgserver
	OUTFLOW_TEST_PGVERSION=$(VERSION) $(GO) test -timeout 30m ./...

elasticsearch: ## fetch the Elasticsearch that tests start, with Maven, once; it needs Java 17 or newer
	@$(GO) run ./internal/esserver/fetch

python: ## make a Python that has what the example producer needs; its test is left out without one
	@test -x $(CACHE)/python/bin/python3 || python3 -m venv $(CACHE)/python
	@$(CACHE)/python/bin/python3 -c 'import psycopg' 2>/dev/null || $(CACHE)/python/bin/pip install -q 'psycopg[binary]==3.3.9'

lint: linter ## check the style, the layers and the shape of the code
	$(GO) mod tidy -diff
	$(LINT) run ./...

linter: ## build the linter, once: it takes minutes
	@test -x $(LINT) || { echo "building golangci-lint $(LINT_VERSION) into $(CACHE)/bin, once"; \
		mkdir -p $(CACHE)/bin && cd tools && \
		$(GO) build -o $(LINT).new github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $(LINT).new $(LINT); }

bench: ## measure: prints a table and writes bench/latest.json
	$(GO) run ./bench

demo: ## load real source code, project it, and prove that it arrived: FILES=1000 or all, ELASTICSEARCH=1 for that, too
	$(GO) run ./cmd/outflow demo --files $(FILES) $(if $(ELASTICSEARCH),--elasticsearch)

generate: ## write the generated files anew
	$(GO) generate ./...

clean: ## remove what was built; what was fetched stays in the user's cache
	rm -rf bin coverage.out
