# Everything that is done with this repository has a target here; `make help` lists them.
# Only Go is needed. Tools are built from tools/go.mod at pinned versions.

GO      ?= go
TOOL     = $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STAMP    = -X github.com/casaeureka/psw-ha/pkg/version.stamped=$(VERSION)
MAINS    = ./agent/cmd/psw-agent ./coordinator/cmd/psw-coordinator ./coordinator/cmd/psw ./e2e/lab/cmd/psw-lab

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##
.PHONY: proto
proto: ## generate the Go code of proto/ (builds buf the first time: about 5 minutes on 2 cores)
	$(TOOL) buf format -w
	$(TOOL) buf lint
	$(TOOL) buf generate

.PHONY: proto-check
proto-check: ## fail if the committed generated code is not what proto/ says
	GO="$(GO)" ./tools/proto-check
