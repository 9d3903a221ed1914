# Everything a developer does here. `make help` lists it; README.md tells the story.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
TYPED := app connectors smpp_daemon scheduler migrations deploy tests bench

# Compiling all modules anew in each of hundreds of processes would be most of what they do.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run demo test lint typecheck fmt lock stop clean bench soak fuzz-smpp fuzz-api

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv from requirements.lock and see to RabbitMQ; fast when there is nothing to do
	@sh deploy/local/bootstrap.sh

run: setup ## start everything, send messages through it, serve until Ctrl-C (TURUMBA_API_PORT, TURUMBA_LOCAL_DIR)
	@$(PYTHON) -m deploy.local.run

demo: setup ## the same without staying; the last line is {"accepted":…,"delivered":…,"seconds":…}
	@$(PYTHON) -m deploy.local.run --demo

test: setup ## run every test, on real services: make test ARGS="-k smpp -x"
	$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup ## check style and formatting
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

typecheck: setup ## check the types, strictly
	$(PYTHON) -m mypy $(TYPED)

fmt: setup ## format, and mend what can be mended
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

lock: setup ## write requirements.lock anew from pyproject.toml
	.boot/bin/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		--extra dev pyproject.toml -o requirements.lock

soak: setup ## ten minutes of a bad operator and dying processes, then the books are compared: make soak SECONDS=600
	TURUMBA_TEST_CHAOS_SECONDS=$(or $(SECONDS),600) $(PYTHON) -m pytest tests/faults/test_chaos.py -q

fuzz-smpp: setup ## a million random and mutated PDUs: make fuzz-smpp PDUS=1000000
	TURUMBA_TEST_FUZZ_PDUS=$(or $(PDUS),1000000) $(PYTHON) -m pytest tests/unit/smpp_protocol/test_fuzz.py -q --timeout 3600

fuzz-api: setup ## every route fuzzed by its own OpenAPI document: make fuzz-api SECONDS=1800 SEED=1
	TURUMBA_TEST_FUZZ_SECONDS=$(or $(SECONDS),1800) TURUMBA_TEST_FUZZ_SEED=$(or $(SEED),$(shell date +%s)) $(PYTHON) -m pytest tests/contract/test_fuzz.py -q

bench: setup ## run all benchmarks and append what they say to docs/benchmarks.md
	$(PYTHON) -m bench

bench-%: setup ## run one benchmark: wire, daemon, throttle, binds, server, ingest, list, contacts, templates, bulk, fair
	$(PYTHON) -m bench.$*

stop: ## stop what runs in the background or in another terminal
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m deploy.local.services down; fi

clean: ## stop everything and delete the local data, .venv and caches
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m deploy.local.services clean; fi
	rm -rf .venv .boot .local .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
