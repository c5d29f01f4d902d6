# FlowEHR. `make` alone prints this help.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export CGO_ENABLED := 1

TAGS    := duckdb_arrow
BIN     := build/flowehr
DEMO    ?= build/demo
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      := go
GOTEST  := $(GO) test -tags $(TAGS)
TEMPL   := $(GO) run -modfile=tools/go.mod github.com/a-h/templ/cmd/templ
LINT    := $(GO) run -modfile=tools/go.mod github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: setup build ## build, run the demo hospital and its pipelines, print where to look
	@scripts/demo-up.sh $(BIN) $(DEMO)

.PHONY: down
down: ## stop the demo hospital; its data stays
	@test ! -d $(DEMO) || $(BIN) --dir $(DEMO) down

.PHONY: build
build: ## compile build/flowehr
	@mkdir -p build
	$(GO) build -tags $(TAGS) -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/flowehr

.PHONY: setup
setup: ## install what is missing on this machine (PostgreSQL, a C compiler)
	@scripts/setup.sh

.PHONY: test
test: ## set up and run every test, as CI does
	@scripts/setup.sh test
	$(GO) vet -tags $(TAGS) ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted, run: make fmt"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GOTEST) -timeout 20m ./...

.PHONY: check
check: lint test verify ## everything that a change must pass

.PHONY: race
race: ## run the tests of our own code with the race detector
	$(GOTEST) -race -timeout 30m ./internal/...

.PHONY: bench
bench: setup ## measure against the limits and peers, print the ratios
	$(GOTEST) -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench

.PHONY: fuzz
fuzz: ## run every fuzz target for 20 seconds
	@for f in $$(grep -rl '^func Fuzz' --include='*_test.go' internal); do \
	  for t in $$(grep -o '^func Fuzz[A-Za-z0-9_]*' $$f | cut -c6-); do \
	    echo "== $$(dirname $$f) $$t"; $(GOTEST) -run '^$$' -fuzz "^$$t$$" -fuzztime 20s ./$$(dirname $$f) || exit 1; done; done

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go' | grep -v _templ.go)
	$(GO) fix -tags $(TAGS) ./...

.PHONY: lint
lint: ## run golangci-lint
	$(LINT) run --build-tags $(TAGS) ./...

.PHONY: generate
generate: ## make what is made: page templates, JSON Schema
	$(TEMPL) generate -path internal/service/portal
	$(GOTEST) ./internal/config -run TestSchema -update

.PHONY: verify
verify: generate ## fail when something that is made is stale, or go.mod is untidy
	git diff --exit-code -- internal docs/schema
	$(GO) mod tidy -diff

.PHONY: clean
clean: down ## stop the demo and remove all that was built and all its data
	@test ! -d $(DEMO) || $(BIN) --dir $(DEMO) clean --yes
	rm -rf build
