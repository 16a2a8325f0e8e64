# SPDX-License-Identifier: Apache-2.0
# `make` shows what there is to make.

GO       ?= go
BIN      ?= bin
DESTDIR  ?=
prefix   ?= /usr
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Where elsactl starts: see the package's documentation.
ENTRY    := -E elsa/internal/inherited.entry
LDFLAGS  := -s -w -X elsa/internal/build.version=$(VERSION)
export GOFLAGS += -buildvcs=false

.PHONY: help build demo check test mutants test-random test-load fleet-test bench install pictures clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## static binaries in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/elsad ./cmd/elsa-archive
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) $(ENTRY)' -o $(BIN)/ ./cmd/elsactl

demo: build ## a group, a workload, its bill and its metrics, on this machine
	@test/demo.sh $(BIN)

check: ## gofmt, vet, staticcheck, govulncheck, and that the pure packages need no Linux
	@out=$$(gofmt -l -s cmd pkg internal test); test -z "$$out" || { echo "gofmt needed:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	GO=$(GO) test/vuln.sh
	GOOS=darwin $(GO) build ./pkg/acct ./pkg/api ./pkg/client ./pkg/cnfork ./pkg/groups ./pkg/ledger ./pkg/stream ./pkg/taskrelease ./pkg/taskstats ./pkg/usage ./internal/engine ./internal/history ./internal/lineage

test: ## every test this machine can run; ELSA_KERNEL=require makes skips failures
	test/setup.sh
	GO=$(GO) test/run.sh

mutants: ## that the model of the engine finds each of some deliberate faults
	$(GO) test -tags mutants -run '^TestMutants$$' -count=1 -timeout 60m -v ./internal/engine

test-random: ## random tests with new draws, and fuzzing: 20 minutes. MINUTES=20
	GO=$(GO) test/random.sh $(or $(MINUTES),20)

test-load: ## every test TIMES=3 times, while a build and as many loops as twice the CPUs take the machine
	test/setup.sh
	GO=$(GO) test/load.sh $(or $(TIMES),3)

pictures: ## the pictures of the page in docs/img, of real processes, by Chromium; as root
	$(GO) test ./internal/web -run '^TestChromium$$' -count=1 -update
	$(GO) test ./test/e2e -run '^TestKernelLife$$' -count=1 -update

fleet-test: ## fleets of 30 to 3000 hosts on ClickHouse: exact, and how fast
	GO=$(GO) ELSA_FLEET_HOSTS=30,300,3000 ELSA_FLEET_INSERTS=300 test/fleet.sh -v

clean: ## remove what was built
	rm -rf $(BIN) dist/out

-include test/accuracy/accuracy.mk test/vm/vm.mk dist/dist.mk test/reliability/reliability.mk bench/bench.mk
