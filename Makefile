# Two commands for users: make scan, make test. The rest is for who changes the code; see CONTRIBUTING.md.

GO          ?= go
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK  = golang.org/x/vuln/cmd/govulncheck@v1.9.0
BENCHSTAT    = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
FUZZ        ?= 5000x
ARGS        ?=

.PHONY: scan test static test-servers build vet lint race cross fuzz bench vuln clean

# Without LIST: the list of the embedded lab, on loopback. With LIST=file: real URLs. ARGS adds flags.
scan: build
ifdef LIST
	bin/sonde scan $(ARGS) --overwrite -o results.jsonl -- $(LIST)
else
	bin/sonde scan --lab $(ARGS) --overwrite -o results.jsonl testdata/urls.txt
endif

# The tests wait a good part of the time, in which the rest can be compiled. The compiler and its like
# take a quarter less time when they may use more memory.
test cross fuzz: export GOFLAGS := $(shell $(GO) env GOFLAGS) '-toolexec=env GOGC=400'
test:
	$(MAKE) --no-print-directory -j2 static race

static:
	$(MAKE) vet
	$(MAKE) lint

build:
	$(GO) build -o bin/sonde ./cmd/sonde

vet:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files" >&2; exit 1; }
	$(GO) vet ./...

lint:
	GOGC=400 $(GO) run $(STATICCHECK) ./...

# What CI asks for besides: all compiles for other systems, the libraries with their tests. What only
# compiles on Linux must say so by its file name. Nothing of this runs, so it is compiled in the way that
# takes the least time.
PLAIN = -gcflags=all='-N -l -dwarf=false'
cross:
	GOOS=darwin GOARCH=arm64 $(GO) build $(PLAIN) ./...
	GOOS=windows GOARCH=amd64 $(GO) build $(PLAIN) ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet $(PLAIN) ./wire ./resolver ./engine/...
	GOOS=windows GOARCH=amd64 $(GO) vet $(PLAIN) ./wire ./resolver ./engine/...

# vet has run; and a program with the race detector sleeps for a second at its end unless told not to.
# Tests that are parallel wait most of the time, so there may be more of them than cores.
# The tests that take a sample under the race detector, or measure memory, run whole without it.
race:
	GORACE=atexit_sleep_ms=0 $(GO) test -vet=off -race -parallel 8 ./...
	$(GO) test -vet=off -run 'HoweverItIsCut|ThroughLoss|OneLossy|DeadFirst|Wherever|ATailOfNUL|IsFollowed|BoundedMemory' \
		./engine ./resolver ./cmd/sonde/internal/output ./cmd/sonde/internal/journal

# The resolver beside nsd, unbound, named and dig, which must be there: it says which packages to install.
test-servers:
	$(GO) test -count=1 -tags servers ./resolver/servers

# A short run of each fuzz target, which CI asks for; FUZZ=10m for a long one. Counted, not timed: in Go before 1.27 a timed
# run may fail with a bare "context deadline exceeded" at its end (golang/go#75804).
fuzz:
	.ci/fuzz $(FUZZ)

# sonde beside its peers; compare with: go run $(BENCHSTAT) -col /client bench.txt
bench:
	$(GO) test -run '^$$' -bench . -count 3 ./bench | tee bench.txt

vuln:
	$(GO) run $(GOVULNCHECK) ./...

clean:
	rm -rf bin results.jsonl results.jsonl.sonde bench.txt .fuzz
