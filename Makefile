# Forescale. `make demo` and `make test` need Go, gcc and npm, and no root.
# Everything that is fetched goes to .cache and server/ort/runtime/node_modules.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

CACHE       := $(CURDIR)/.cache
TOOLS       := $(CACHE)/bin
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X github.com/forescale/forescale/internal/cli.Version=$(VERSION)

VERSITYGW   := $(TOOLS)/versitygw-v1.8.0
STATICCHECK := $(TOOLS)/staticcheck-v0.8.2
BUF         := $(TOOLS)/buf-v1.75.0
GRPCURL     := $(TOOLS)/grpcurl-v1.9.3
HELM        := $(TOOLS)/helm-v4.3.1
PROTO_GO    := $(TOOLS)/protoc-gen-go-v1.36.12
PROTO_GRPC  := $(TOOLS)/protoc-gen-go-grpc-v1.6.2

# The Kubernetes of the system tests comes out of a module of its own, which also
# says its version.
KUBE_MODULE    := internal/kubetest/apiserver
kube-version    = $(shell awk '$$1 == "$(1)" && $$2 ~ /^v/ {print $$2}' $(KUBE_MODULE)/go.mod)
ETCD           := $(TOOLS)/etcd-$(call kube-version,go.etcd.io/etcd/server/v3)
KUBE_APISERVER := $(TOOLS)/kube-apiserver-$(call kube-version,k8s.io/kubernetes)

ORT_ARCH    := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
ORT_NPM     := server/ort/runtime
ORT_SOURCE  := $(ORT_NPM)/node_modules/onnxruntime-node/bin/napi-v6/linux/$(ORT_ARCH)/libonnxruntime.so.1
ORT_LIB     := bin/lib/libonnxruntime.so.1

# A test finds the real components here. Tests that need what not every machine
# has carry a build tag, so that they are either run or not there, never skipped:
# real traces (FORESCALE_TRACES), models of other tools (FORESCALE_PEERS), the
# reference implementation of the fleet model (FORESCALE_REFEREE).
comma       := ,
space       := $() $()
TAGS        := $(subst $(space),$(comma),$(strip $(if $(FORESCALE_TRACES),traces) $(if $(FORESCALE_PEERS),peers) $(if $(FORESCALE_REFEREE),referee)))
TEST_ENV    := FORESCALE_ONNXRUNTIME=$${FORESCALE_ONNXRUNTIME:-$(CURDIR)/$(ORT_LIB)} FORESCALE_VERSITYGW=$(VERSITYGW)
DUCKDB_NPM  := internal/dataset/duckdb
DUCKDB      := $(DUCKDB_NPM)/node_modules/.package-lock.json
DASHBOARD_NPM  := server/dashboard/npm
DASHBOARD_WEB  := server/dashboard/web
DASHBOARD_LOCK := $(DASHBOARD_NPM)/node_modules/.package-lock.json
SYSTEM_ENV  := $(TEST_ENV) FORESCALE_CHROMIUM=$$(command -v chromium-headless-shell) FORESCALE_PYTHON=/usr/bin/python3 \
               FORESCALE_PROMETHEUS=$$(command -v prometheus) FORESCALE_PROMTOOL=$$(command -v promtool) \
               FORESCALE_ALERTMANAGER=$$(command -v prometheus-alertmanager) FORESCALE_AMTOOL=$$(command -v amtool) \
               FORESCALE_SYSTEMD_ANALYZE=$$(command -v systemd-analyze) \
               FORESCALE_PUSHGATEWAY=$$(command -v prometheus-pushgateway) \
               FORESCALE_GRPCURL=$(GRPCURL) FORESCALE_HELM=$(HELM) \
               FORESCALE_MOSQUITTO=$$(PATH=$$PATH:/usr/sbin command -v mosquitto) FORESCALE_MOSQUITTO_PUB=$$(command -v mosquitto_pub) \
               FORESCALE_ETCD=$(ETCD) FORESCALE_KUBE_APISERVER=$(KUBE_APISERVER) \
               FORESCALE_NODE=$$(command -v node) FORESCALE_DUCKDB=$(CURDIR)/$(DUCKDB_NPM)/query.mjs \
               FORESCALE_AXE=$(CURDIR)/$(DASHBOARD_NPM)/node_modules/axe-core/axe.min.js

# Without gRPC's own trace page no program holds a template engine, for whose sake the
# linker would keep every method of every type: the server is 20 MB small instead of 37.
BUILD_TAGS  := grpcnotrace

STATIC_BINS := forescale forescale-collector forescale-trainer forescale-scaler

.PHONY: help setup kubernetes proto dashboard build lambda demo test test-system screenshots race bench bench-server bench-trainer accuracy soak fuzz lint clean deb-packages
help: ## show what each target does
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(ORT_LIB) $(VERSITYGW) ## fetch ONNX Runtime and build the S3 server that the tests use

$(ORT_SOURCE): $(ORT_NPM)/package.json $(ORT_NPM)/package-lock.json
	cd $(ORT_NPM) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

$(DUCKDB): $(DUCKDB_NPM)/package.json $(DUCKDB_NPM)/package-lock.json
	cd $(DUCKDB_NPM) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

$(DASHBOARD_LOCK): $(DASHBOARD_NPM)/package.json $(DASHBOARD_NPM)/package-lock.json
	cd $(DASHBOARD_NPM) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

dashboard: $(DASHBOARD_LOCK) ## copy the charting library that the dashboard embeds from its npm package
	cp -f $(DASHBOARD_NPM)/node_modules/uplot/dist/uPlot.iife.min.js $(DASHBOARD_WEB)/vendor/uplot.js
	cp -f $(DASHBOARD_NPM)/node_modules/uplot/dist/uPlot.min.css $(DASHBOARD_WEB)/vendor/uplot.css
	cp -f $(DASHBOARD_NPM)/node_modules/uplot/LICENSE $(DASHBOARD_WEB)/vendor/LICENSE.uplot.txt

$(ORT_LIB): $(ORT_SOURCE)
	mkdir -p $(@D)
	cp -f $< $@

# Each tool is installed under a name that carries its version, so that a new
# version is a new file.
define install-tool
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS)/.new GOFLAGS= go install $(1)
	mv -f $(TOOLS)/.new/$(notdir $(firstword $(subst @, ,$(1)))) $@
endef

$(VERSITYGW):
	$(call install-tool,github.com/versity/versitygw/cmd/versitygw@v1.8.0)

$(STATICCHECK):
	$(call install-tool,honnef.co/go/tools/cmd/staticcheck@v0.8.2)

$(BUF):
	$(call install-tool,github.com/bufbuild/buf/cmd/buf@v1.75.0)

$(PROTO_GO):
	$(call install-tool,google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12)

$(PROTO_GRPC):
	$(call install-tool,google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2)

$(GRPCURL):
	$(call install-tool,github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3)

$(HELM):
	$(call install-tool,helm.sh/helm/v4/cmd/helm@v4.3.1)

proto: $(BUF) $(PROTO_GO) $(PROTO_GRPC) ## generate the gRPC messages and services from api/inference
	ln -sf $(PROTO_GO) $(TOOLS)/protoc-gen-go && ln -sf $(PROTO_GRPC) $(TOOLS)/protoc-gen-go-grpc
	cd api/inference && PATH=$(TOOLS):$$PATH $(BUF) generate .

# Statically linked and unprivileged: no container, no root.
define build-kubernetes
	mkdir -p $(TOOLS)
	cd $(KUBE_MODULE) && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@.new $(1)
	mv -f $@.new $@
endef

$(ETCD):
	$(call build-kubernetes,go.etcd.io/etcd/server/v3)

$(KUBE_APISERVER):
	$(call build-kubernetes,k8s.io/kubernetes/cmd/kube-apiserver)

kubernetes: $(ETCD) $(KUBE_APISERVER) ## build the API server that the system tests use (8 CPU minutes, once)

build: $(ORT_LIB) ## build every binary into bin/; only forescale-server uses cgo
	CGO_ENABLED=0 go build -trimpath -tags $(BUILD_TAGS) -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(STATIC_BINS))
	CGO_ENABLED=1 go build -trimpath -tags $(BUILD_TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/forescale-server

# One archive for each function and processor; the same source gives the same bytes.
# LAMBDA_FILES are put beside the program, such as forescale.yaml and a calendar.
LAMBDA_ARCHS ?= arm64 x86_64
LAMBDA_OUT   ?= bin/lambda
lambda: ## build the archives of the functions of AWS Lambda into bin/lambda (docs/aws.md)
	@for arch in $(LAMBDA_ARCHS); do for part in collector scaler; do \
	  dir=$(LAMBDA_OUT)/$$arch/$$part && mkdir -p $$dir && \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$${arch/x86_64/amd64} go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '$(LDFLAGS) -buildid=' -o $$dir/bootstrap ./cmd/forescale-$$part && \
	  go run ./internal/function/pack $(LAMBDA_OUT)/forescale-$$part-$$arch.zip $$dir/bootstrap $(LAMBDA_FILES); done; done
	@cd $(LAMBDA_OUT) && sha256sum *.zip

demo: build ## replay a generated workload through the whole pipeline, live in the terminal
	bin/forescale demo $(DEMOFLAGS)

test: setup ## all tests that need no root and no Debian packages
	$(TEST_ENV) go test -tags '$(TAGS)' -timeout 15m $(TESTFLAGS) ./...

deb-packages:
	@for p in python3-numpy python3-onnx chromium-headless-shell prometheus prometheus-alertmanager prometheus-pushgateway mosquitto mosquitto-clients systemd wget $(if $(FORESCALE_PEERS),python3-torch); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed$$' || missing="$${missing:-} $$p"; done; \
	if [ -n "$${missing:-}" ]; then \
	  sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

test-system: setup kubernetes $(DUCKDB) $(DASHBOARD_LOCK) $(GRPCURL) $(HELM) deb-packages ## tests against servers and tools from Debian packages (installs them: root or sudo)
	$(SYSTEM_ENV) go test -tags 'system,$(TAGS)' -run '^TestSystem' -timeout 15m $(TESTFLAGS) ./...

screenshots: setup ## take the pictures in docs/screenshots from the demo (needs what test-system needs)
	mkdir -p docs/screenshots
	$(SYSTEM_ENV) FORESCALE_SCREENSHOTS=$(CURDIR)/docs/screenshots go test -count=1 -tags system,screenshots -run '^TestScreenshots$$' $(TESTFLAGS) ./cmd/forescale

race: setup ## all tests under the race detector
	$(TEST_ENV) go test -tags '$(TAGS)' -race -timeout 30m $(TESTFLAGS) ./...

bench: setup ## every benchmark
	$(TEST_ENV) go test -run '^$$' -bench . -benchmem $(BENCHFLAGS) ./...

bench-server: build ## the server beside ONNX Runtime itself and other servers (FORESCALE_PEERS; wrk, npm ci for the Node peer)
	CGO_ENABLED=1 go build -trimpath -o bin/bench-server ./cmd/bench-server
	FORESCALE_ONNXRUNTIME=$${FORESCALE_ONNXRUNTIME:-$(CURDIR)/$(ORT_LIB)} bin/bench-server $(BENCHFLAGS)

bench-trainer: ## training speed beside PyTorch's (FORESCALE_PEERS; python3-torch and libopenblas0-pthread)
	mkdir -p bin && CGO_ENABLED=0 go build -trimpath -o bin/bench-trainer ./cmd/bench-trainer
	bin/bench-trainer $(BENCHFLAGS)

# The document says how good the forecasts are, part by part. A finished trace is
# kept in .cache/accuracy, under the build of the trainer, so that a run that was
# stopped goes on and a change elsewhere measures nothing again. Only tuning cuts
# the last fifth off: make accuracy ACCURACYFLAGS=-dev
accuracy: ## measure the forecasts on the traces (FORESCALE_TRACES) and write docs/accuracy.md
	@[ -n "$${FORESCALE_TRACES:-}" ] || { echo "make accuracy needs FORESCALE_TRACES: a folder of traces with a manifest.csv (see CONTRIBUTING.md)" >&2; exit 2; }
	mkdir -p bin && CGO_ENABLED=0 go build -trimpath -o bin/accuracy ./cmd/accuracy
	bin/accuracy -program "$$(CGO_ENABLED=0 go list -trimpath -export -f '{{.BuildID}}' ./trainer)" -json bin/accuracy.json $(ACCURACYFLAGS)

soak: build ## ten minutes at half of the server's capacity: does it stay flat? SOAKFLAGS="-for 1h"
	mkdir -p bin && CGO_ENABLED=0 go build -trimpath -o bin/soak ./cmd/soak
	bin/soak -server bin/forescale-server $(SOAKFLAGS)

FUZZTIME ?= 30s
fuzz: setup ## run every fuzz target for FUZZTIME
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
	  grep -lE '^func Fuzz' $$dir/*_test.go 2>/dev/null | xargs -r grep -ohE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | while read -r f; do \
	    echo "== $$dir $$f"; (cd $$dir && $(TEST_ENV) go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) .); done; done

lint: $(STATICCHECK) ## formatting, vet and staticcheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not gofmt-ed: $$bad"; exit 1; }
	go vet ./...
	go vet -tags system,screenshots,traces,peers,referee ./...
	$(STATICCHECK) -tags system,traces,peers,referee ./...

clean: ## remove what was built and fetched
	rm -rf bin .cache $(ORT_NPM)/node_modules $(DUCKDB_NPM)/node_modules $(DASHBOARD_NPM)/node_modules
