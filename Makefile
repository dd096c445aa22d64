# Everything that is done with this repository has a target here; `make help` lists them.
# Only Go is needed. Tools are built from tools/*.mod at pinned versions, the first time they are used.

GO      ?= go
TOOL     = $(GO) tool -modfile=tools/go.mod
LINT     = $(GO) tool -modfile=tools/lint.mod golangci-lint
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STAMP    = -X github.com/casaeureka/psw-ha/pkg/version.stamped=$(VERSION)
MAINS    = ./agent/cmd/psw-agent ./coordinator/cmd/psw-coordinator ./coordinator/cmd/psw ./e2e/lab/cmd/psw-lab
SEEDS   ?= 100
COUNT   ?= 6
VMSHORT  = TestAHealthyCluster|TestCheckOnAMachineWithoutProxmox|TestALinkCutBothWays|TestTheNFSServerFreezes|TestANodeCutOffIsResetByItsWatchdog

.DEFAULT_GOAL := help
.PHONY: help build test check fmt vet tidy lint proto proto-check demo lab sim kills e2e vm vm-short vm-clean bench bench-agent bench-rivals clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# grpcnotrace leaves out gRPC's debug pages, and with them much of the agent's resident memory (docs/decisions/0013).
build: ## build psw-agent, psw-coordinator, psw and psw-lab into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -tags grpcnotrace -ldflags '-s -w $(STAMP)' -o bin/ $(MAINS)

test: ## run every test that needs nothing but Go
	$(GO) test ./...
	$(GO) test -count=1 ./pkg/tidy

check: fmt vet test proto-check lint ## everything that must hold before a change is accepted

fmt: ## fail if a Go file is not formatted
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "not formatted, run gofmt -w:"; echo "$$out"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...
	$(GO) vet -tags vm ./e2e/vm

tidy: ## the rules of the house: imports, purity, package comments
	$(GO) test -count=1 -v ./pkg/tidy

lint: ## golangci-lint (builds it the first time: a few minutes)
	$(LINT) run ./...

proto: ## generate the Go code of proto/ (builds buf the first time: a few minutes)
	$(TOOL) buf format -w
	$(TOOL) buf lint
	$(TOOL) buf generate

proto-check: ## fail if the committed generated code is not what proto/ says
	GO="$(GO)" ./tools/proto-check

demo: build ## a whole maintenance and a power cut on a simulated cluster, unattended
	bin/psw-lab demo

lab: build ## a simulated three-node cluster to use psw against by hand
	bin/psw-lab

sim: ## seeded chaos against the whole coordinator: make sim SEEDS=1000
	$(GO) test -count=1 -timeout 60m ./e2e -run Simulation -seeds=$(SEEDS)
	$(GO) test -count=1 -timeout 60m ./e2e -run 'Simulation$$' -seeds=$(SEEDS) -operations

kills: ## form, extend and shrink clusters, everybody killed before and after every deed
	$(GO) test -count=1 -timeout 30m ./e2e -run 'SurvivesEveryKill|KilledAtItsHook' -every-kill

e2e: ## the whole system with real binaries, sockets and TLS on the simulated cluster
	$(GO) test -count=1 ./e2e/...

# Built as the programs that run in the machines are, so that nothing is compiled twice.
VMTEST = CGO_ENABLED=0 $(GO) test -trimpath -tags vm,grpcnotrace -count=1 -v

vm: ## real machines: corosync, NFS and watchdogs in QEMU without KVM; root on Debian 12, the rest installs itself
	$(VMTEST) -timeout 60m ./e2e/vm

vm-short: ## the five stories of it that show most
	$(VMTEST) -timeout 30m -run '^($(VMSHORT))$$' ./e2e/vm

vm-clean: ## remove the machines' images and saved states
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/psw-ha/vm"

bench: ## the benchmarks, several times each; prints the medians
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./... > bench.out || { cat bench.out; exit 1; }
	$(TOOL) benchstat bench.out

bench-agent: ## what the agent takes of a machine, beside Debian's prometheus-node-exporter in the same minute
	$(GO) test -count=1 -v -run TestBesideNodeExporter ./agent/cmd/psw-agent -beside

bench-rivals: ## beside hcheck, hbal, crm_simulate and glpsol (Debian's ganeti-htools, pacemaker-cli-utils, glpk-utils) on the same clusters
	$(GO) test -count=1 -v -timeout 120m ./e2e/bench -rivals -runs 3

clean: ## remove what was built
	rm -rf bin bench.out
