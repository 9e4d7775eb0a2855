# Every command of the project; `make help` lists them.

# Python 3.11 where it is found under its own name; a pyenv shim of a version that is not active does not count.
# Looked for once: `?=` would start it again at each use.
ifndef PYTHON
PYTHON := $(shell for name in python3.11 python3; do $$name -c '' 2>/dev/null && echo $$name && break; done)
endif
MODEL ?= model
PORT ?= 8080
PAGE_PORT ?= 8501
ENDPOINT ?=
DATA ?= data/sample
# In recipes as "$$MODEL" and "$$DATA": a name may hold spaces and quotes (a dollar is written twice). After their defaults: `export` alone defines a
# variable as empty, and `?=` would leave it so.
export MODEL DATA
INPUTS ?= 20000
# Of `make tune` and `make lock`, as OPTIONS="--leaks keep --fine-tune-top 3".
OPTIONS ?=
MLFLOW_PORT ?= 5000
MLFLOW_FOLDER ?= .mlflow
STUDIO_PORT ?= 8090
STUDIO_FOLDER ?= .label-studio
# Folder that Label Studio may show photos from.
PHOTOS ?= .
export MLFLOW_FOLDER STUDIO_FOLDER PHOTOS
STAGE ?= staging
# Of infra/template.yaml, as PARAMETERS="AlarmEmail=me@example.com MemoryMB=3008".
PARAMETERS ?=
REQUESTS ?= 1000000
# Only the notebook of the sample drawings is kept in git.
ifeq ($(DATA),data/sample)
NOTEBOOK ?= notebook.ipynb
else
NOTEBOOK ?= report/notebook.ipynb
endif

# As a prerequisite, each of these files builds its environment.
SERVE := .venv-serve/installed
PAGE := .venv-page/installed
FULL := .venv/installed
INFRA := .venv-infra/installed
CHECKOV := .venv-checkov/installed
SAGEMAKER := .venv-sagemaker/installed
LABEL_STUDIO := .venv-label-studio/installed
CLIENTS := .venv-clients/installed
STEP_FUNCTIONS := .venv-step-functions/installed
RAY := .venv-ray/installed

.DEFAULT_GOAL := help
.PHONY: help demo serve page install check fast lint types vulnerabilities test openapi clients wheel lock audit tune mlflow label-studio sagemaker pipeline notebook bench fuzz clean deploy promote rollback destroy cost template

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: MODEL=folder DATA=folder PORT=number PAGE_PORT=number ENDPOINT=address MLFLOW_PORT=number STUDIO_PORT=number PHOTOS=folder INPUTS=number OPTIONS='--name …' PYTHON=command"
	@echo "Releases: STAGE=staging|production|everything ARCHITECTURE=arm64|x86_64 PARAMETERS='Name=value …' DIGEST=sha256:… YES=1 REQUESTS=number MS=number"

demo: $(SERVE)  ## serve the shipped model, run the smoke check against it, stop
	@LENSLET_LOG_LEVEL=WARNING LENSLET_METRICS_DISABLED=true \
	.venv-serve/bin/python -m lenslet serve --port $(PORT) --model "$$MODEL" & server=$$!; \
	.venv-serve/bin/python -m lenslet test http://127.0.0.1:$(PORT) --wait 20; status=$$?; \
	kill $$server 2>/dev/null || { echo "make demo: its server had ended already, so another one answered" >&2; status=2; }; \
	wait $$server; exit $$status

# When one of the two ends, the other is stopped. Ctrl-C reaches both processes; the second of waiting lets them exit
# by themselves, because a signal during their exit would count as a failure.
serve: $(SERVE) $(PAGE)  ## serve MODEL on http://127.0.0.1:PORT, and its page on PAGE_PORT, until Ctrl-C
	@$(refuse_page_port)
	@is_over=false; trap 'is_over=true' INT TERM HUP; \
	.venv-serve/bin/python -m lenslet serve --port $(PORT) --model "$$MODEL" & function=$$!; \
	$(call run_page,http://127.0.0.1:$(PORT)) & page=$$!; \
	until $$is_over || ! kill -0 $$function 2>/dev/null || ! kill -0 $$page 2>/dev/null; do sleep 0.5; done; \
	! $$is_over || sleep 1; kill $$function $$page 2>/dev/null; wait $$page; ended=$$?; wait $$function && exit $$ended

page: $(PAGE)  ## the page alone on http://127.0.0.1:PAGE_PORT, for the function at ENDPOINT (or set in its sidebar)
	@$(refuse_page_port)
	@$(call run_page,$(ENDPOINT))

install: $(FULL)  ## make the full environment, .venv: training, evaluation, tests

check: $(FULL)  ## format, lint (also for security), types and fast tests: 100 seconds on two cores
	@$(MAKE) --no-print-directory --jobs 3 fast types lint vulnerabilities

fast: $(FULL)
	.venv/bin/pytest $(in_processes) -m "not slow"

lint: $(FULL)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: $(FULL)
	.venv/bin/mypy

vulnerabilities: $(FULL)
	@.venv/bin/python -m infra.audit

test: $(FULL) $(INFRA) $(CHECKOV) $(SAGEMAKER) $(LABEL_STUDIO) $(CLIENTS) $(STEP_FUNCTIONS) $(RAY) check  ## everything: check, then the slow tests (TensorFlow, real processes)
	.venv/bin/pytest $(in_processes) -m slow || { test $$? -eq 1 && echo "What failed runs once more, alone:" && \
		.venv/bin/pytest -m slow --last-failed --last-failed-no-failures none; }

openapi: $(FULL)  ## write lenslet/serving/openapi.json, which the function serves, from openapi.yaml
	.venv/bin/python -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, separators=(",", ":"))' < openapi.yaml > lenslet/serving/openapi.json

clients: $(FULL) $(CLIENTS)  ## generate the clients of the HTTP API, for Python and TypeScript: dist/clients (needs npm)
	@.venv/bin/python clients/generate.py

wheel: $(FULL)  ## build the package with the shipped model: dist/lenslet-….whl
	@rm -rf build  # what an older build left there would come along
	.venv/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls -s dist/lenslet-*.whl

lock: $(FULL)  ## resolve pyproject.toml into requirements.txt and requirements/ (OPTIONS=--upgrade; needs a network)
	.venv/bin/python requirements/lock.py $(OPTIONS)

audit: $(FULL)  ## look up known vulnerabilities of the packages of the images and of .venv (needs a network)
	.venv/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip \
		--requirement requirements/lambda.txt --requirement requirements/http.txt
	.venv/bin/pip-audit --strict --progress-spinner off --local

tune: $(FULL)  ## search hyperparameters on DATA; resumes the last search (OPTIONS: of lenslet tune)
	.venv/bin/python -m lenslet tune --data "$$DATA" $(OPTIONS)

mlflow: $(FULL)  ## MLflow's page of runs, searches and registered models on MLFLOW_PORT, until Ctrl-C
	@mkdir -p "$$MLFLOW_FOLDER"
	@echo "open http://127.0.0.1:$(MLFLOW_PORT)"
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true .venv/bin/mlflow server \
		--host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 \
		--backend-store-uri "sqlite:///$$MLFLOW_FOLDER/mlflow.db" --artifacts-destination "$$MLFLOW_FOLDER/artifacts"

label-studio: $(LABEL_STUDIO)  ## Label Studio on STUDIO_PORT for photos below PHOTOS, until Ctrl-C (docs/loop.md)
	@mkdir -p "$$STUDIO_FOLDER"
	@echo "open http://127.0.0.1:$(STUDIO_PORT)"
	@LABEL_STUDIO_BASE_DATA_DIR="$$(cd "$$STUDIO_FOLDER" && pwd)" LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \
	LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="$$(cd "$$PHOTOS" && pwd)" COLLECT_ANALYTICS=false SENTRY_DSN= FRONTEND_SENTRY_DSN= \
	LATEST_VERSION_CHECK=false ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false USE_DEFAULT_BANNED_SUBNETS=false \
	.venv-label-studio/bin/label-studio start --no-browser --internal-host 127.0.0.1 --port $(STUDIO_PORT) --log-level WARNING

sagemaker: $(SAGEMAKER)  ## SageMaker's SDK in an environment of its own, for `lenslet pipeline sagemaker`

pipeline: $(FULL)  ## run the changed stages of dvc.yaml: train, convert, evaluate, gate
	@test "$(origin DATA)" = file || { echo "make pipeline takes its photos from the line 'data:' of dvc.yaml: write $$DATA there" >&2; exit 2; }
	PATH="$$PWD/.venv/bin:$$PATH" .venv/bin/dvc repro

notebook: $(FULL)  ## execute notebook.ipynb on DATA with MODEL, and save its outputs
	@.venv/bin/python -c "$$run_notebook"

bench: $(FULL)  ## benchmark the function, the server under load, and training on DATA, beside peers
	.venv/bin/pip install --quiet --requirement requirements/bench.txt
	.venv/bin/python -m bench.serving --json report/serving.json
	.venv/bin/python -m bench.load --json report/load.json
	.venv/bin/python -m bench.batch --json report/batch.json
	.venv/bin/python -m bench.training --data "$$DATA" --json report/training.json

fuzz: $(FULL)  ## fuzz the decoder with INPUTS images, and the handler with a tenth as many requests (Linux)
	.venv/bin/python -m fuzz.decode --inputs $(INPUTS)
	.venv/bin/python -m fuzz.handler --inputs $$((($(INPUTS) + 9) / 10))

deploy: $(FULL) $(INFRA)  ## build the image, deploy it to STAGE=staging on AWS, check it there (docs/deploy.md)
	@.venv/bin/python -m infra.release deploy $(STAGE) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) $(addprefix --parameter ,$(PARAMETERS))

promote: $(FULL) $(INFRA)  ## deploy the image that was checked in staging to production; asks, unless YES=1
	@.venv/bin/python -m infra.release promote $(if $(YES),--yes) $(if $(DIGEST),--digest $(DIGEST)) $(addprefix --parameter ,$(PARAMETERS))

rollback: $(FULL) $(INFRA)  ## return production to its previous image; asks, unless YES=1
	@.venv/bin/python -m infra.release rollback $(if $(YES),--yes)

destroy: $(FULL)  ## delete STAGE from AWS, or everything; asks for its name
	@.venv/bin/python -m infra.release destroy $(STAGE)

template: $(FULL)  ## count the resources of one stage by type (infra/template.yaml)
	@.venv/bin/python -m infra.transform

cost: $(FULL)  ## monthly cost of REQUESTS of MS milliseconds on AWS Lambda, and of a virtual machine
	@.venv/bin/python -m infra.cost --requests $(REQUESTS) $(if $(MS),--ms $(MS))

clean:  ## delete environments, caches, builds and reports; models, runs and .mlflow/ stay
	rm -rf .venv .venv-serve .venv-page .venv-infra .venv-checkov .venv-sagemaker .venv-label-studio .venv-clients .venv-step-functions .venv-ray .cache report build dist lenslet.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(SERVE): requirements/serve.txt
	@$(call require_python,(3$(comma)10) <= sys.version_info[:2] <= (3$(comma)13),3.10 to 3.13)
	@$(PYTHON) -c 'import sys; sys.version_info[:2] == (3, 11) or print("Python 3.11 was not found: serving with ai-edge-litert instead of tflite-runtime")'
	$(call make_environment,.venv-serve,requirements/serve.txt,$(install_lenslet))

$(PAGE): requirements/page.txt
	@$(call require_python,(3$(comma)10) <= sys.version_info[:2] <= (3$(comma)13),3.10 to 3.13)
	$(call make_environment,.venv-page,requirements/page.txt)

$(FULL): requirements.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv,requirements.txt,$(install_lenslet))

$(INFRA): requirements/infra.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-infra,requirements/infra.txt)

$(CHECKOV): requirements/checkov.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-checkov,requirements/checkov.txt)

$(SAGEMAKER): requirements/sagemaker.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	@rm -rf .venv-sagemaker  # anew: version 2 lies in the same folders, and its removal would take files of version 3
	$(call make_environment,.venv-sagemaker,requirements/sagemaker.txt)

$(CLIENTS): requirements/clients.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-clients,requirements/clients.txt)

$(STEP_FUNCTIONS): requirements/step-functions.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-step-functions,requirements/step-functions.txt)

$(RAY): requirements/ray.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-ray,requirements/ray.txt)

# Each module in one of the processes (tests/conftest.py); three of them on two cores, because some of the tests wait:
# for a timeout, a retry, a server.
in_processes := --numprocesses 3 --dist loadscope --no-loadscope-reorder
# OpenBLAS's threads spin while they wait for a core, which another of the processes has.
fast test: export OPENBLAS_NUM_THREADS := 1

$(LABEL_STUDIO): requirements/label-studio.txt
	@$(call require_python,sys.version_info[:2] == (3$(comma)11),3.11)
	$(call make_environment,.venv-label-studio,requirements/label-studio.txt)

# Streamlit fails with a traceback on an invalid port.
define refuse_page_port
test "$(PAGE_PORT)" -ge 1 -a "$(PAGE_PORT)" -le 65535 2>/dev/null \
	|| { echo "make $(MAKECMDGOALS): PAGE_PORT takes a whole number from 1 to 65535, not '$(PAGE_PORT)'" >&2; exit 2; }
endef

# $(1): address of the function, or nothing for the page's own settings. With an address, secrets.toml is ignored: it
# would override the address, and its key belongs to another endpoint. Headless: Streamlit opens no browser and asks
# for no e-mail address.
define run_page
if [ -d "$$MODEL/samples" ]; then export LENSLET_SAMPLES="$$MODEL/samples"; fi; $(if $(1),LENSLET_ENDPOINT=$(1) ).venv-page/bin/streamlit run frontend/app.py$(if $(1), --secrets.files none.toml) \
	--server.address 127.0.0.1 --server.port $(PAGE_PORT) --server.headless true
endef

comma := ,

# $(1): condition in Python, $(2): the versions in words
define require_python
test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(not ($(1)))' \
	|| { echo "make $(MAKECMDGOALS) needs Python $(2), but found $$($(PYTHON) --version 2>/dev/null || echo none): install it or give PYTHON=/path/to/python" >&2; exit 2; }
endef

# $(1): folder, $(2): requirements, $(3): further options of a second call of pip. The marker file comes last: an
# interrupted installation is done again.
define make_environment
$(PYTHON) -m venv $(1)
$(1)/bin/pip install --quiet --disable-pip-version-check --requirement $(2)
$(if $(3),$(1)/bin/pip install --quiet --disable-pip-version-check $(3))
touch $(1)/installed
endef

# The command `lenslet`, of this folder's code. Its packages are there already: nothing is fetched.
install_lenslet := --no-index --no-deps --no-build-isolation --editable .

# Without times and library output, so that the same photos give the same file.
define run_notebook
import nbclient, nbformat, pathlib
from lenslet.inference.atomic import write_text
notebook = nbformat.read("notebook.ipynb", as_version=4)
arguments = ["--IPKernelApp.capture_fd_output=False", "--IPKernelApp.log_level=ERROR"]
options = {"record_timing": False, "coalesce_streams": True}
nbclient.NotebookClient(notebook, **options, extra_arguments=arguments).execute()
notebook.metadata.language_info = {"name": "python"}
write_text(pathlib.Path("$(NOTEBOOK)"), nbformat.writes(notebook) + "\n")
print("written: $(NOTEBOOK)")
endef
export run_notebook
