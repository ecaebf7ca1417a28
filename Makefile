# Wherry: make dev runs it, make test tests it. Both set up what they need.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s
TOOL      = go tool -modfile=tools/go.mod

.PHONY: dev build test race fuzz bench check generate setup conformance h2spec soak clean

dev: build            ## a whole network on this machine; ORIGIN=https://… puts it in front of a real site
	bin/wherry dev $(if $(ORIGIN),--origin $(ORIGIN)) $(ARGS)

build:                ## bin/wherry
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/wherry ./cmd/wherry

test: setup           ## all tests: units, whole networks in memory, the real binary with curl, dig and Chromium
	go test ./...

race: setup           ## all tests under the race detector
	go test -race ./...

soak: setup           ## what is slow: all tests under the race detector, ten times
	WHERRY_SOAK=1 go test -timeout=20m ./cmd/wherry
	go test -race -count=10 -timeout=60m ./...
	$(MAKE) build && go run ./bench/network -edges 4 -static 10m

fuzz:                 ## every fuzz target for FUZZTIME
	tools/fuzz.sh $(FUZZTIME)

bench:                ## the benchmarks beside the code, then the comparison with the peers that are installed
	go test -run '^$$' -bench . -benchmem ./...
	bench/http/run.sh

check:                ## vet, staticcheck, gofumpt, generated files current
	go vet ./...
	$(TOOL) staticcheck ./...
	@test -z "$$($(TOOL) gofumpt -l . | tee /dev/stderr)" || { echo "gofumpt: format the files above with: $(TOOL) gofumpt -w ."; exit 1; }
	@go run ./cmd/wherry config reference | diff -u docs/configuration.md - || { echo "docs/configuration.md is stale: make generate"; exit 1; }

generate:             ## docs that are made from the code
	go run ./cmd/wherry config reference > docs/configuration.md

conformance: build    ## the public HTTP cache test-suite against bin/wherry
	bench/conformance/run.sh

h2spec: build         ## the public HTTP/2 conformance suite against bin/wherry
	bench/h2spec/run.sh

setup:                ## what the tests need beside Go
	@tools/setup.sh

clean:
	rm -rf bin
