# Everything a user or developer types. Needs only Python 3.11+ (with venv), make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PREFIX ?= /opt/gateway
ETC ?= /etc/gateway
UNITS ?= /etc/systemd/system
NAME ?= gateway
DOC = $(PREFIX)/share/doc/gateway

.DEFAULT_GOAL := help
.PHONY: help demo unit fuzz kills soak test check bench score docs lock install uninstall clean servers

help: ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## A simulated press line, a broker, the gateway and a subscriber (SECONDS=90 for a bounded run)
	@$(BIN)/gateway demo $(if $(filter command environment,$(firstword $(origin SECONDS))),--seconds $(SECONDS))

unit: $(VENV)/.dev ## The quick tests only: no sockets, databases or processes
	$(BIN)/pytest -n auto tests/unit $(PYTEST)

# Without SECONDS the seed is fixed, so that a failure of CI is one of the change and not of chance.
fuzz: $(VENV)/.dev servers ## Properties with many examples, then mutated input at every door (SECONDS=600 for that long)
	$(BIN)/pytest -n 4 --dist worksteal -m hypothesis --hypothesis-profile fuzz tests $(PYTEST)
	$(BIN)/python -m tests.fuzz $(if $(filter command environment,$(firstword $(origin SECONDS))),--seconds $(SECONDS),--seed 0)

test: $(VENV)/.dev servers ## All tests (PYTEST="-k name" to choose)
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

kills: $(VENV)/.dev servers ## Kafka killed 100 times (SIGKILL) while windows flow: each message in the log once, or declared lost
	KAFKA_KILLS=100 $(BIN)/pytest tests/fault/test_gateway_kafka.py -k killed_brokers $(PYTEST)

soak: $(VENV)/.dev servers ## Several sinks, one dead: the gateway killed 100 times, the power cut 1,000 times
	GATEWAY_SINK_KILLS=100 GATEWAY_SINK_CUTS=1000 $(BIN)/pytest tests/fault/test_gateway_sinks.py tests/fault/test_outbox_set.py \
		-k "kills or power" --timeout 0 $(PYTEST)

check: $(VENV)/.dev ## Style, types, import rules and the limits of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house

bench: $(VENV)/.dev servers ## Figures (ONLY=name for one); writes build/bench.json
	$(BIN)/python -m tests.bench $(ONLY)

score: $(VENV)/.dev ## Scores of the detectors on labelled data (SHARED=folder with data/ and eval/), and on ordinary plant life
	$(BIN)/python -m tests.score $(SHARED)

docs: $(VENV)/.dev ## Write docs/reference/ from the configuration models, and the message schema from the events
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.message_schema

servers: $(VENV)/.dev ## Foreign brokers and servers for the tests, where they can be installed
	@sh tests/install-servers.sh

COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --upgrade
lock: $(VENV)/.dev ## Pin all dependencies anew
	$(COMPILE) --group build pyproject.toml -o requirements/run.txt
	$(COMPILE) --group build --extra demo -c requirements/run.txt pyproject.toml -o requirements/demo.txt
	$(COMPILE) --group build --group dev --extra demo --extra age --extra parquet --extra kafka --extra postgres --extra otlp -c requirements/demo.txt pyproject.toml -o requirements/dev.txt

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "The gateway needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
NO_VENV = { echo "Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)"; exit 1; }

# Up to 0.1.0 the distribution was called gateway: both at once would own the same files. Argument: the folder of pip.
FORGET = sh -c '[ ! -d "$$0"/../lib/python3.*/site-packages/gateway-0.1.0.dist-info ] || "$$0"/pip uninstall -q -y --disable-pip-version-check gateway'

# A stamp of its own: what an interrupted attempt has left is not taken for whole.
$(VENV)/.made:
	@$(CHECK_PYTHON)
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || $(NO_VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made requirements/demo.txt pyproject.toml
	@echo "Installing into $(VENV): once, some 200 MB, about a minute ..."
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/demo.txt
	@$(FORGET) $(BIN)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/pip check -q --disable-pip-version-check
	@touch $@

$(VENV)/.dev: $(VENV)/.demo requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# umask: the service runs as a user of its own and must be able to read what root installs.
install: ## As root: install the service (configuration in /etc/gateway is kept)
	@$(CHECK_PYTHON)
	@umask 022; mkdir -p $(PREFIX) $(UNITS) || { echo "make install writes to $(PREFIX), $(ETC) and $(UNITS): run it as root"; exit 1; }
	umask 022; $(PYTHON) -m venv $(PREFIX) || $(NO_VENV)
	umask 022; $(PREFIX)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(FORGET) $(PREFIX)/bin
	umask 022; $(PREFIX)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	$(PREFIX)/bin/pip check -q --disable-pip-version-check
	umask 022; test -e $(ETC)/gateway.yaml || { mkdir -p $(ETC) && cp -r config/. $(ETC)/; }
	umask 022; rm -rf $(DOC) && mkdir -p $(DOC) && cp -r *.md LICENSE docs $(DOC)/
	sed 's|/opt/gateway|$(PREFIX)|; s|/etc/gateway|$(ETC)|g; s|StateDirectory=gateway$$|StateDirectory=$(NAME)|' \
		systemd/gateway.service > $(UNITS)/$(NAME).service
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Edit $(ETC), then: $(PREFIX)/bin/gateway check --config $(ETC) && systemctl enable --now $(NAME)"

uninstall: ## As root: stop and remove the service; configuration and outbox stay
	if [ -d /run/systemd/system ]; then systemctl disable --now $(NAME); fi
	rm -f $(UNITS)/$(NAME).service
	[ ! -e $(PREFIX)/pyvenv.cfg ] || rm -rf $(PREFIX)
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Left in place: $(ETC) (configuration) and /var/lib/$(NAME) (outbox, certificates)"

clean: ## Remove what was built and installed here
	rm -rf $(VENV) build dist tests/node/node_modules tests/java/jars .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
