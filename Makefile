# Thin on purpose: each target is one command that also works by hand, and CI calls the same ones.
# docs: CONTRIBUTING.md. Every target sets up the environment first; a second set-up costs nothing.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help setup demo test peers check format generate lock kafka kafka-stop bench sim chaos clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## make .venv what requirements.lock says
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) on PATH: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Chappe needs Python 3.11 or newer and this is %s: name a newer one, as in make PYTHON=python3.12" % sys.version.split()[0])'
	@$(PYTHON) scripts/setup.py

demo: setup ## the live demo (ARGS=--once: headless, checks itself)
	@$(BIN)/chappe demo $(ARGS)

test: setup ## every test that this machine can run (ARGS for pytest)
	@$(BIN)/python -m pytest tests/unit tests/sim tests/contract tests/integration tests/e2e $(ARGS)

peers: setup ## the tests against real mail programs: Postfix, OpenDKIM, SpamAssassin, swaks (root)
	@$(BIN)/python -m pytest tests/peers -q $(ARGS)

check: setup ## format, lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/generate.py --check

format: setup ## format and repair what can be
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: setup ## rewrite the generated files
	@$(BIN)/python scripts/generate.py

lock: setup ## resolve all dependencies anew (uv, in an environment of its own)
	@$(BIN)/python scripts/lock.py

kafka: setup ## a real Apache Kafka on loopback (KAFKA_PORT, default 29092)
	@$(BIN)/python -m chappe.testing.kafka start

kafka-stop: setup ## stop it; its data stay
	@$(BIN)/python -m chappe.testing.kafka stop

bench: setup ## every benchmark (ARGS="--only NAME", ARGS=--full)
	@$(BIN)/python tests/bench/run.py $(ARGS)

sim: setup ## thousands of simulated histories (ARGS="--seeds 20000", ARGS="--seed 17")
	@$(BIN)/python tests/sim/run.py $(ARGS)

chaos: setup ## the fault run (ARGS="--seconds 300 --seed 7 --broker kafka")
	@$(BIN)/python tests/chaos/run.py $(ARGS)

clean: ## forget the environment and everything built
	rm -rf .venv build
