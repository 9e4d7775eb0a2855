# Every command of the project; `make help` lists them.

# Python 3.11 where it is found under its own name; a pyenv shim of a version that is not active does not count.
PYTHON ?= $(shell for name in python3.11 python3; do $$name -c '' 2>/dev/null && echo $$name && break; done)
MODEL ?= model
PORT ?= 8080
DATA ?= data/sample
INPUTS ?= 20000
MLFLOW_PORT ?= 5000
MLFLOW_FOLDER ?= .mlflow
# Only what the drawings give is kept in git.
NOTEBOOK ?= $(if $(filter data/sample,$(DATA)),notebook.ipynb,report/notebook.ipynb)

# These words in a rule's prerequisites build the environments.
SERVE := .venv-serve/installed
FULL := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo serve install check test audit tune mlflow pipeline notebook bench fuzz sample clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: MODEL=folder DATA=folder PORT=number MLFLOW_PORT=number INPUTS=number PYTHON=command"

demo: $(SERVE)  ## serve the shipped model, classify the sample pictures through it, stop
	@POWERTOOLS_LOG_LEVEL=WARNING POWERTOOLS_METRICS_DISABLED=true \
	.venv-serve/bin/python serve.py --port $(PORT) --model $(MODEL) & server=$$!; \
	.venv-serve/bin/python test.py http://127.0.0.1:$(PORT) --wait 20; status=$$?; \
	kill $$server 2>/dev/null || { echo "make demo: its server had ended already, so another one answered" >&2; status=2; }; \
	wait $$server; exit $$status

serve: $(SERVE)  ## serve MODEL on http://127.0.0.1:PORT until Ctrl-C
	@.venv-serve/bin/python serve.py --port $(PORT) --model $(MODEL)

install: $(FULL)  ## make the full environment, .venv: training, evaluation, tests

check: $(FULL)  ## format, lint, types, security lint and fast tests: under a minute
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/bandit --quiet --recursive inference lambda_func.py serve.py
	@$(AUDIT_IMAGE) --format json 2>/dev/null | .venv/bin/python -c '$(REFUSE_FINDINGS)'
	.venv/bin/pytest -m "not slow"

test: $(FULL) check  ## everything: check, then the slow tests (TensorFlow, real processes)
	.venv/bin/pytest -m slow

audit: $(FULL)  ## known vulnerabilities of the image's packages and of .venv's, asked from PyPI (needs a network)
	$(AUDIT_IMAGE) --strict
	.venv/bin/pip-audit --strict --progress-spinner off --local

tune: $(FULL)  ## search for settings on the photos of DATA; goes on where the last search stopped
	.venv/bin/python tune.py --data $(DATA)

mlflow: $(FULL)  ## keep trainings and registered models on a server of their own, until Ctrl-C
	@mkdir -p $(MLFLOW_FOLDER)
	@echo "export MLFLOW_TRACKING_URI=http://127.0.0.1:$(MLFLOW_PORT)"
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow server \
		--host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 \
		--backend-store-uri sqlite:///$(MLFLOW_FOLDER)/mlflow.db --artifacts-destination $(MLFLOW_FOLDER)/artifacts

pipeline: $(FULL)  ## train, convert, evaluate and judge as dvc.yaml says: only what has changed is run
	@test "$(origin DATA)" = file || { echo "make pipeline takes its photos from the line 'data:' of dvc.yaml: write $(DATA) there" >&2; exit 2; }
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/dvc repro

notebook: $(FULL)  ## run notebook.ipynb on the photos of DATA with MODEL, and keep what it shows
	@DATA="$(DATA)" MODEL="$(MODEL)" .venv/bin/python -c "$$run_notebook"

bench: $(FULL)  ## speed of the function, of the server under load, and of training on DATA, beside their peers
	.venv/bin/pip install --quiet --requirement bench/requirements.txt
	.venv/bin/python -m bench.serving --json report/serving.json
	.venv/bin/python -m bench.load --json report/load.json
	.venv/bin/python -m bench.training --data $(DATA) --json report/training.json

fuzz: $(FULL)  ## INPUTS hostile pictures, and a tenth as many hostile requests (Linux)
	.venv/bin/python -m fuzz.decode --inputs $(INPUTS)
	.venv/bin/python -m fuzz.handler --inputs $$(($(INPUTS) / 10))

sample: $(FULL)  ## draw data/sample anew: the same bytes
	.venv/bin/python data/make_sample.py

clean:  ## remove environments, caches and reports; models, runs and what `make mlflow` keeps stay
	rm -rf .venv .venv-serve .cache report .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(SERVE): requirements-serve.txt
	@$(call require_python,(3$(comma)10) <= sys.version_info[:2] <= (3$(comma)13),3.10 to 3.13)
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or print("Python 3.11 was not found: serving with ai-edge-litert instead of tflite-runtime")'
	$(call make_environment,.venv-serve,requirements-serve.txt)

$(FULL): requirements.txt requirements-serve.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv,requirements.txt)

AUDIT_IMAGE := .venv/bin/pip-audit --progress-spinner off --require-hashes --disable-pip --requirement requirements-lambda.txt
# Without a network nothing is found, and that fails no check; `make audit` tells the two apart.
define REFUSE_FINDINGS
import json, sys; text = sys.stdin.read(); \
found = [each["name"] for each in json.loads(text)["dependencies"] if each.get("vulns")] if text else []; \
sys.exit(f"known vulnerabilities in {found}: make audit says which" if found else 0)
endef

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

# No times in it, so that the same photos give the same file; and what libraries tell the terminal stays out of it.
define run_notebook
import nbclient, nbformat, pathlib
from inference.atomic import write_text
notebook = nbformat.read("notebook.ipynb", as_version=4)
arguments = ["--IPKernelApp.capture_fd_output=False", "--IPKernelApp.log_level=ERROR"]
options = {"record_timing": False, "coalesce_streams": True}
nbclient.NotebookClient(notebook, **options, extra_arguments=arguments).execute()
notebook.metadata.language_info = {"name": "python"}
write_text(pathlib.Path("$(NOTEBOOK)"), nbformat.writes(notebook) + "\n")
print("written: $(NOTEBOOK)")
endef
export run_notebook
