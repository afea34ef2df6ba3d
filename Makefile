# nim-sidecar. `make` alone lists the targets. Needed: Go, a C compiler for the race detector, node with npm, git.
BIN      := bin/nim-sidecar
FUZZTIME ?= 30s
SOAKTIME ?= 10m
KILLS    ?= 50
# what the tree holds beyond its last commit, as one number
STATE    := { git diff HEAD; git ls-files -o --exclude-standard; } | git hash-object --stdin

# modules of their own, so that what they need is no dependency of the product: the release program, and the readers of deploy/
MODULES  := deploy/release test/deploy/platform

.PHONY: help build run demo test check lint race fuzz soak smoke bench sim generate release cover web browser
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the static binary, ./bin/nim-sidecar
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(BIN) ./cmd/nim-sidecar

run: build ## the sidecar in front of NVIDIA; without a key or a settings file, the demo
	@for name in SIDECAR_CONFIG NVIDIA_API_KEY NGC_API_KEY SIDECAR_API_KEYS; do \
		if [ -n "$$(printenv $$name $${name}_FILE)" ]; then exec $(BIN) serve; fi; done; \
	echo 'Neither NVIDIA_API_KEY nor SIDECAR_API_KEYS nor SIDECAR_CONFIG is set, so this is the demo.'; exec $(BIN) demo

demo: build ## the sidecar in front of a built-in mock, with sample traffic
	@exec $(BIN) demo

test: build ## all tests: Go, the SDKs in test/compat, then the dashboard in a browser
	@status=0; go run ./test/summary ./... || status=1; \
	for module in $(MODULES); do go -C $$module test ./... || status=1; done; \
	if [ -f test/compat/package.json ]; then \
		(cd test/compat && npm ci --no-audit --no-fund && NIM_SIDECAR=$(CURDIR)/$(BIN) node --test --test-reporter=spec) || status=1; fi; \
	$(MAKE) --no-print-directory browser || status=1; exit $$status

check: ## every gate: lint, generated files, race detector, benchmarks, clean tree
	@before=$$($(STATE)); $(MAKE) --no-print-directory lint generate race smoke || exit 1; \
	[ "$$before" = "$$($(STATE))" ] || { git status --short; echo 'check: generating or testing changed the files above: commit them, or mend the test'; exit 1; }

lint: ## format, vet, staticcheck, modernisers, architecture
	@unformatted=$$(go tool gofumpt -l .); [ -z "$$unformatted" ] || { echo "not gofumpt-formatted: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go fix -diff ./...
	for module in $(MODULES); do go -C $$module vet ./... && go -C $$module fix -diff ./... || exit 1; done
	go test .

race: ## the Go tests under the race detector, which sees only their own process: not those that drive the built binary
	@go run ./test/summary -race ./internal/... ./test/scenarios

fuzz: ## every fuzz target, FUZZTIME (30s) each
	@grep -rHo --exclude-dir=node_modules --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
		go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" || exit 1; done

soak: ## 200 clients that misbehave for SOAKTIME (10m), then KILLS (50) kills under load
	go test -count=1 -v -timeout 30m -run '^(TestASoakLeavesNothingBehind|TestNoWindowIsExceededAcrossKills)$$' ./test/faults -args -soak $(SOAKTIME) -kills $(KILLS)

smoke: ## every Go benchmark, 100 rounds each, so that none rots
	@go run ./test/summary -run '^$$' -bench . -benchtime 100x ./...

bench: ## Go benchmarks, then the comparison with a plain ReverseProxy
	go test -run '^$$' -bench . ./...
	go run ./test/bench

sim: ## hidden limits of every kind in virtual time, beside simpler laws; writes docs/simulation.md
	cd test/scenarios && go test -count=1 -run '^TestScenarios$$' -timeout 30m -args -full -page ../../docs/simulation.md

generate: ## what is generated from code: references, schema, examples
	go generate ./...

release: ## archives for six targets, Debian packages, SBOMs and checksums of a clean tree, in dist/
	go -C deploy/release run . -root ../.. -out ../../dist

cover: ## test coverage, as a page in bin/cover.html
	@mkdir -p bin && go test -coverprofile=bin/cover.out ./... && go tool cover -html=bin/cover.out -o bin/cover.html && go tool cover -func=bin/cover.out | tail -n 1

web: ## build the dashboard of web/ into internal/dash/dist
	cd web && npm ci --no-audit --no-fund && npm run build

browser: build ## the dashboard: its own tests, its build compared with what is committed, and a real Chromium (installed if need be)
	cd web && npm ci --no-audit --no-fund && npx tsc && npm test
	cd test/browser && ./chromium.sh && npm ci --no-audit --no-fund && NIM_SIDECAR=$(CURDIR)/$(BIN) node --test --test-concurrency=1 --test-reporter=spec
