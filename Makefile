# The README's two commands are `make demo` and `make test`. All else builds on the same virtual environment.

PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests wait for servers a fifth of their time: one worker more than there are processors.
WORKERS ?= $(shell $(BIN)/python -c 'import os; print(os.cpu_count() + 1)')
# Tests start a hundred processes: each would compile the product again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo run test slow lint lint-docs types imports check openapi schema initial-migrations audit fix screenshots browser large faults faults-small market market-small market-mutants bench-relay bench-matching mutants clean

demo: $(READY)
	@$(BIN)/python -m config.demo

run: $(READY)
	@$(BIN)/python -m config.run

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not browser and not slow and not large"

# Tests that start, stop and kill processes, and others that take long.
slow: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "slow and not browser and not large"

$(READY): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with venv is needed; name it with PYTHON=…"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-dev.txt
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-docs:
	@.ci/lint-docs

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

check: $(READY)
	$(BIN)/python manage.py check
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py events check

openapi: $(READY)
	$(BIN)/python manage.py spectacular --fail-on-warn --validate --file docs/openapi.yaml

schema: $(READY)
	$(BIN)/python manage.py write_schema

initial-migrations: $(READY)
	$(BIN)/python .ci/initial_migrations.py
	$(BIN)/python manage.py write_schema

audit: $(READY)
	$(BIN)/python manage.py compliance_audit

faults: $(READY)
	$(BIN)/python -m benchmarks.faults --seed 42 --events 1000000 --kills 1000

faults-small: $(READY)
	$(BIN)/python -m benchmarks.faults --seed 42 --small

# Partners deal over HTTP while servers and processes die; at the end all books must agree. DEALS, DAYS, PARTNERS, SEED.
market: $(READY)
	$(BIN)/python -m benchmarks.market --seed $(or $(SEED),42) $(if $(DEALS),--deals $(DEALS)) \
		$(if $(DAYS),--days $(DAYS)) $(if $(PARTNERS),--partners $(PARTNERS))

market-small: $(READY)
	$(BIN)/python -m benchmarks.market --seed $(or $(SEED),42) --small

market-mutants: $(READY)
	$(BIN)/python -m benchmarks.market --seed 42 --deals 0 --mutants

bench-relay: $(READY)
	$(BIN)/python -m benchmarks.relay

bench-matching: $(READY)
	$(BIN)/python -m benchmarks.matching --plans docs/benchmarks

# Mutation tests of the kernel: hours; SAMPLE=300 takes a part of them, FILE=erp/access.py one file.
mutants: $(READY)
	nice -n 15 $(BIN)/python -m benchmarks.mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(FILE),--file $(FILE))

# Pictures of the main pages, in docs/screenshots; needs Chromium.
screenshots: $(READY)
	$(BIN)/python -m config.screenshots

browser: $(READY)
	$(BIN)/python -m pytest config/tests -m browser

large: $(READY)
	LARGE_TABLE=10000 $(BIN)/python -m pytest -m large --timeout 600
	LEDGER_STEPS=10000 $(BIN)/python -m pytest apps/availability/tests/test_stock.py \
		apps/requirement/tests/test_ledger.py -k "random_steps or any_operations" --timeout 600

clean:
	rm -rf $(VENV) .erp staticfiles .pytest_cache .mypy_cache .ruff_cache
