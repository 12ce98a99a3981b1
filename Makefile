# Every target installs what it needs. On a fresh machine only Python 3.11 or newer and make are needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ROWS ?= 2000000
MINUTES ?= 20
KILLS ?= 200
EXAMPLES ?= 100
BIG_MB ?= 1024

.DEFAULT_GOAL := check
.PHONY: check run test thorough test-systemd crash soak lint types demo bench audit lock clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run ## run the daemon on ./drops, everything else below ./var
	@$(BIN)/blobdrop run

demo: $(VENV)/.run ## write a few drops, ingest them, show what came of it
	@$(BIN)/python deploy/demo.py

test: $(VENV)/.test $(VENV)/.azurite ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow"

thorough: $(VENV)/.test $(VENV)/.azurite ## run the tests that take long, too, and more examples: make thorough EXAMPLES=1000
	PROPERTY_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n 2 --dist worksteal -q

# The installed program is kept, so that only the first time takes long.
test-systemd: $(VENV)/.test ## boot a real systemd and try the service in it; needs root and systemd-container
	BLOBDROP_TEST_SYSTEMD=$(abspath $(VENV))/systemd $(BIN)/python -m pytest -q -s -p no:randomly tests/systemd

crash: $(VENV)/.test $(VENV)/.azurite ## kill the daemon at every step and 200 times at random, and stop it in a file of 1 GB: make crash KILLS=1000
	BLOBDROP_TEST_KILLS=$(KILLS) BLOBDROP_TEST_BIG_MB=$(BIG_MB) $(BIN)/python -m pytest -q -s tests/acceptance/test_crashes.py tests/acceptance/test_azure_crashes.py tests/acceptance/test_decisions_killed.py tests/acceptance/test_random_kills.py

soak: $(VENV)/.test $(VENV)/.azurite ## drops, markers and kills for 20 minutes, then every row counted: make soak MINUTES=60
	$(BIN)/python -m tests.bench.soak --minutes $(MINUTES) $(SOAK)

check: lint types test ## ruff, mypy and the tests

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

bench: $(VENV)/.bench $(VENV)/.azurite ## measure beside peers: make bench ROWS=10000000
	$(BIN)/python -m tests.bench --rows $(ROWS) $(BENCH)

# The tests' lock holds what runs too, so each stamp is an install of its own into the same environment.
$(VENV)/.run: deploy/requirements.lock pyproject.toml
	@$(call install,deploy/requirements.lock)

$(VENV)/.test: deploy/test.lock pyproject.toml
	@$(call install,deploy/test.lock)
	@touch $(VENV)/.run

$(VENV)/.bench: deploy/bench.lock pyproject.toml
	@$(call install,deploy/bench.lock)
	@touch $(VENV)/.run $(VENV)/.test

# The container of the tests, with the Node that came as a Python package: the system needs none.
$(VENV)/.azurite: $(VENV)/.test tests/azurite/package.json tests/azurite/package-lock.json
	@echo "installing tests/azurite/package-lock.json"
	@mkdir -p $(VENV)/azurite && cp tests/azurite/package.json tests/azurite/package-lock.json $(VENV)/azurite
	@$(BIN)/npm ci --prefix $(VENV)/azurite --omit=optional --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@touch $@

# Bytecode is compiled whatever the environment says: without it the start takes seconds longer.
define install
	set -e; $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("blobdrop needs Python 3.11 or newer: make PYTHON=python3.12 ...")'; \
	test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "venv is missing: install your system's python3-venv package" >&2; exit 1; }; }; \
	echo "installing $(1)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	$(BIN)/python -m compileall -q -j 0 $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') daemon validators || true; \
	touch $@
endef

# In an environment of its own, so that what audits is not part of what is audited.
audit: deploy/audit.lock ## look for known holes in what the locks pin
	@test -x $(VENV)/audit/bin/python || $(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/audit.lock
	@$(VENV)/audit/bin/python deploy/audit.py

lock: $(VENV)/.test ## pin the newest versions again (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --group build -o deploy/requirements.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -c deploy/requirements.lock pyproject.toml --group build --group test -o deploy/test.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -c deploy/test.lock pyproject.toml --group build --group bench -o deploy/bench.lock
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group pyproject.toml:audit -o deploy/audit.lock
	cd tests/azurite && $(abspath $(BIN))/npm install --package-lock-only --omit-lockfile-registry-resolved=true --ignore-scripts --no-audit --no-fund

clean: ## remove the environment and caches; drops and var stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
