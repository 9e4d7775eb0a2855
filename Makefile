# Every command of the project; `make help` lists them.

# Python 3.11 where it is found under its own name; a pyenv shim of a version that is not active does not count.
PYTHON ?= $(shell for name in python3.11 python3; do $$name -c '' 2>/dev/null && echo $$name && break; done)
MODEL ?= model
PORT ?= 8080
DATA ?= data/sample

# These words in a rule's prerequisites build the environments.
SERVE := .venv-serve/installed
FULL := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo serve install check test tune bench sample clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: MODEL=folder DATA=folder PORT=number PYTHON=command"

demo: $(SERVE)  ## serve the shipped model, classify the sample pictures through it, stop
	@POWERTOOLS_LOG_LEVEL=WARNING POWERTOOLS_METRICS_DISABLED=true \
	.venv-serve/bin/python serve.py --port $(PORT) --model $(MODEL) & server=$$!; \
	.venv-serve/bin/python test.py http://127.0.0.1:$(PORT) --wait 20; status=$$?; \
	kill $$server 2>/dev/null || { echo "make demo: its server had ended already, so another one answered" >&2; status=2; }; \
	wait $$server; exit $$status

serve: $(SERVE)  ## serve MODEL on http://127.0.0.1:PORT until Ctrl-C
	@.venv-serve/bin/python serve.py --port $(PORT) --model $(MODEL)

install: $(FULL)  ## make the full environment, .venv: training, evaluation, tests

check: $(FULL)  ## format, lint, types and fast tests: under a minute
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/pytest -m "not slow"

test: $(FULL) check  ## everything: check, then the slow tests (TensorFlow, real processes)
	.venv/bin/pytest -m slow

tune: $(FULL)  ## search for settings on the photos of DATA; goes on where the last search stopped
	.venv/bin/python tune.py --data $(DATA)

bench: $(FULL)  ## speed of the function beside its peers, on this machine
	.venv/bin/pip install --quiet --requirement bench/requirements.txt
	.venv/bin/python -m bench.serving --json report/serving.json

sample: $(FULL)  ## draw data/sample anew: the same bytes
	.venv/bin/python data/make_sample.py

clean:  ## remove environments, caches and reports; models and runs stay
	rm -rf .venv .venv-serve .cache report .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(SERVE): requirements-serve.txt
	@$(call require_python,(3$(comma)10) <= sys.version_info[:2] <= (3$(comma)13),3.10 to 3.13)
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or print("Python 3.11 was not found: serving with ai-edge-litert instead of tflite-runtime")'
	$(call make_environment,.venv-serve,requirements-serve.txt)

$(FULL): requirements.txt requirements-serve.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv,requirements.txt)

comma := ,

# $(1): condition in Python, $(2): the versions in words
define require_python
test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(not ($(1)))' \
	|| { echo "make $(MAKECMDGOALS) needs Python $(2), but found $$($(PYTHON) --version 2>/dev/null || echo none): install it or give PYTHON=/path/to/python" >&2; exit 2; }
endef

# $(1): folder, $(2): requirements. The marker file comes last: an interrupted installation is done again.
define make_environment
$(PYTHON) -m venv $(1)
$(1)/bin/pip install --quiet --disable-pip-version-check --requirement $(2)
touch $(1)/installed
endef
