# Two commands for users: make scan, make test. The rest is for who changes the code; see CONTRIBUTING.md.

GO          ?= go
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK  = golang.org/x/vuln/cmd/govulncheck@v1.9.0
BENCHSTAT    = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
FUZZ        ?= 5000x
ARGS        ?=

.PHONY: scan test test-servers build lint cross fuzz bench vuln clean

# Without LIST: the list of the embedded lab, on loopback. With LIST=file: real URLs. ARGS adds flags.
scan: build
ifdef LIST
	bin/sonde scan $(ARGS) --overwrite -o results.jsonl -- $(LIST)
else
	bin/sonde scan --lab $(ARGS) --overwrite -o results.jsonl testdata/urls.txt
endif

# The compiler and its like take a quarter less time when they may use more memory.
test lint cross fuzz: export GOFLAGS := $(shell $(GO) env GOFLAGS) '-toolexec=env GOGC=400'

# Vet reads what is compiled for the race detector, so that most is compiled once. A program with the race
# detector sleeps for a second at its end unless told not to. Parallel tests wait most of the time, so
# there may be more of them than cores. The tests that take a sample under the race detector, or measure
# memory, run whole without it.
test:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files" >&2; exit 1; }
	GORACE=atexit_sleep_ms=0 $(GO) test -vet=all -race -parallel 8 ./...
	$(GO) test -vet=off -run 'HoweverItIsCut|ThroughLoss|OneLossy|DeadFirst|Wherever|ATailOfNUL|IsFollowed|BoundedMemory' \
		./engine ./resolver ./cmd/sonde/internal/output ./cmd/sonde/internal/journal

build:
	$(GO) build -o bin/sonde ./cmd/sonde

# What CI asks for besides tests is lint, cross and fuzz. Staticcheck takes longer to compile than Sonde.
lint:
	GOGC=400 $(GO) run $(STATICCHECK) ./...

# All compiles for other systems, the libraries with their tests. What only compiles on Linux must say so
# by its file name. Nothing of this runs, so it is compiled in the way that takes the least time.
PLAIN = -gcflags=all='-N -l -dwarf=false'
cross:
	GOOS=darwin GOARCH=arm64 $(GO) build $(PLAIN) ./...
	GOOS=windows GOARCH=amd64 $(GO) build $(PLAIN) ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet $(PLAIN) ./wire ./resolver ./engine/...
	GOOS=windows GOARCH=amd64 $(GO) vet $(PLAIN) ./wire ./resolver ./engine/...

# The resolver beside nsd, unbound, named and dig, which must be there: it says which packages to install.
test-servers:
	$(GO) test -count=1 -tags servers ./resolver/servers

# A short run of each fuzz target; FUZZ=10m for a long one. Counted, not timed: in Go before 1.27 a timed
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
