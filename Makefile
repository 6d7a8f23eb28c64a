# Every target says what it does in its `##` comment; `make` lists them.
N ?= 3
COMPOSE ?= $(shell command -v docker-compose || echo docker compose)
CONSUL_HTTP_ADDR ?= http://127.0.0.1:8500
STATS_ADDR ?= http://127.0.0.1:8404
WORKFLOW_ADDR ?= http://127.0.0.1:8080
PYTHON_OUT ?= target/python
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release
# Where `make bench` writes.
OUT ?= bench

.DEFAULT_GOAL := help
.PHONY: help tools test fmt clippy docs rust e2e compose chaos bench bench-engine bench-tools bench-check dev proto-compile up down \
        ps logs scale-all \
        consul-check ui-consul ui-haproxy ui-workflow clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+%?:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+%?):.*## /\1\t/' | \
	    awk -F'\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

# --- tests ---------------------------------------------------------------------------------------------------

test: ## Run everything: tools, fmt, clippy, docs, Rust tests, compose checks, end to end
	@.ci/test.sh

tools: ## Install what the tests need beside Rust (Debian): haproxy, Consul, docker-compose, grpcio
	@.ci/install-tools.sh

fmt: ## Format all code
	cargo fmt --all

clippy: ## Lint, warnings are errors
	@.ci/test.sh clippy

docs: ## Build the API documentation, warnings are errors
	@.ci/test.sh docs

rust: ## Run the Rust tests
	@.ci/test.sh tools rust

e2e: ## Run the end-to-end suite: real Consul, HAProxy, routers and backends, a Python client
	@.ci/test.sh tools build e2e

chaos: tools ## Break a whole mesh in every way under 2,000 calls/s and print what it cost (ONLY=names)
	cargo build --locked --release --bins -p switchboard-router -p switchboard-chaos \
	    -p echo-agent -p weather-tool -p itinerary-worker
	SWITCHBOARD_BIN_DIR="$${CARGO_TARGET_DIR:-target}/release" .venv/bin/python mesh/testkit/chaos/run.py $(ONLY)

bench-check: ## Compare the instructions of the router's hot steps with bench/steps/steps.json (KEEP=1 keeps them)
	cargo build --locked --release -p switchboard-steps
	$(RELEASE)/switchboard-steps check $(if $(KEEP),--keep)

compose: ## Check docker-compose.yml without Docker
	@.ci/test.sh tools compose

# --- what it costs -------------------------------------------------------------------------------------------

bench-tools: ## Install what the bench compares with: HAProxy, nginx, Envoy, and Consul
	@bench/install.sh

bench: bench-tools ## Measure what a call costs beside the peers, write bench/RESULTS.md (QUICK=1: three minutes)
	cargo build --locked --release -p switchboard-router
	cargo build --locked --release -p switchboard-bench
	@SWITCHBOARD_BENCH_COMMAND="make bench$(if $(QUICK), QUICK=1)"; export SWITCHBOARD_BENCH_COMMAND; \
	bench=$(RELEASE)/switchboard-bench; quick="$(if $(QUICK),--quick)"; missing=0; \
	$$bench run $$quick --out $(OUT) || { missing=$$?; [ $$missing -eq 3 ] || exit $$missing; }; \
	$$bench growth $$quick --results $(OUT)/results.json || { missing=$$?; [ $$missing -eq 3 ] || exit $$missing; }; \
	$$bench report --results $(OUT)/results.json --out $(OUT) $(if $(QUICK),,--readme README.md) || exit $$?; \
	[ $$missing -eq 0 ] || echo "bench: something is missing in the results, see above" >&2; \
	exit $$missing

bench-engine: ## Measure what the workflow engine does per second, write bench/ENGINE.md (QUICK=1: one minute)
	cargo build --locked --release -p workflow-worker
	cargo build --locked --release -p switchboard-bench
	$(RELEASE)/switchboard-bench engine $(if $(QUICK),--quick) --out $(OUT)

# --- work ----------------------------------------------------------------------------------------------------

dev: ## Run the whole mesh in one process
	cargo run --release -- dev

proto-compile: tools ## Generate the Python client's stubs into target/python (or PYTHON_OUT=...)
	@mkdir -p $(PYTHON_OUT)
	.venv/bin/python -m grpc_tools.protoc -I proto --python_out=$(PYTHON_OUT) --pyi_out=$(PYTHON_OUT) \
	    --grpc_python_out=$(PYTHON_OUT) agent_platform.proto $(patsubst proto/%,%,$(wildcard proto/goclaw/v1/*.proto))
	@echo "stubs are in $(PYTHON_OUT): agent_platform_pb2.py and _grpc.py; of the workflow engine goclaw/v1/*_pb2.py and _grpc.py"

clean: ## Remove everything that was built or installed in this folder
	cargo clean
	rm -rf .tools .venv

# --- docker-compose ------------------------------------------------------------------------------------------

up: ## Start the mesh in containers, 3 routers and 3 echo agents (N=3)
	$(COMPOSE) up --build --detach --scale router=$(N) --scale echo-agent=$(N)

down: ## Stop the containers
	$(COMPOSE) down

ps: ## Show the containers
	$(COMPOSE) ps

# A short name (echo, weather, itinerary, workflow) stands for its service.
service = $(or $(service_$(1)),$(1))
service_echo := echo-agent
service_weather := weather-tool
service_itinerary := itinerary-worker
service_workflow := workflow-worker

scale-%: ## Scale one service: scale-router, scale-echo, scale-weather, scale-itinerary (N=3)
	$(COMPOSE) up --detach --no-recreate --scale $(call service,$*)=$(N) $(call service,$*)

scale-all: ## Scale routers and all backends but the workflow engine (N=3)
	$(COMPOSE) up --detach --no-recreate $(foreach s,router echo-agent weather-tool itinerary-worker,--scale $(s)=$(N))

scale-workflow scale-workflow-worker:
	@echo "the workflow engine is one process: its data directory takes no second one" >&2; exit 2

logs: ## Follow all logs
	$(COMPOSE) logs --follow --tail 100

logs-%: ## Follow one log: logs-router, logs-echo, logs-workflow, logs-haproxy ...
	$(COMPOSE) logs --follow --tail 100 $(call service,$*)

# --- looking at a running mesh -------------------------------------------------------------------------------

consul-check: ## Show every registered service with its healthy instances
	@CONSUL_HTTP_ADDR=$(CONSUL_HTTP_ADDR) python3 .ci/consul-check.py

ui-consul: ## Say where Consul's page is
	@echo $(CONSUL_HTTP_ADDR)/ui

ui-haproxy: ## Say where HAProxy's statistics page is
	@echo $(STATS_ADDR)/stats

ui-workflow: ## Say where the workflow engine's page is
	@echo $(WORKFLOW_ADDR)/ui
