# make setup      environment with Launchpad (CPython 3.10, Linux) in .venv
# make setup-current  environment without it (CPython 3.12, the newest JAX) in .venv-core
# make train      trains on Breakout, on CPython 3.10 if there is one, or else on 3.12;
#                 ARGS="--num_actors=4 ..." adds flags
# make test       formatting, lint, types, import directions, and both of the following
# make test-core  the tests of the core, on CPython 3.12
# make test-distributed  the tests that need Reverb, Launchpad, Ray or XManager, on CPython 3.10
# make test-slow  the tests that are left out of it because they take minutes
# make test-faults  kills and stops the nodes of real programs; ARGS="-k mid_run" for some of it
# make test-faults-current  the same on CPython 3.12
# make benchmark  measures every stage and writes the tables of docs/performance.md
# make notebooks  executes the notebooks and stores their outputs
# make format     formats the code and applies the fixes of the linter
# make wheel      builds the wheel of the core in dist/
# make site       builds the documentation site in build/site/
# make lock       resolves the lock files; ARGS=--upgrade takes newer versions
# make clean      removes environments and caches, keeps runs/

SHELL := /bin/bash
.DEFAULT_GOAL := setup
.PHONY: setup setup-current train test test-core test-distributed test-slow test-faults test-faults-current benchmark lint format notebooks wheel site lock clean

BIN := .venv/bin
WORKDIR ?= runs/$(shell date +%Y%m%d-%H%M%S)
WORKERS ?= 2
ARGS ?=

setup:
	@requirements/install.sh .venv 3.10 requirements/lock-py310.txt

setup-current:
	@requirements/install.sh .venv-core 3.12 requirements/lock-core-py312.txt

comma := ,
# The layout 'sebulba' is one process.
LAUNCH_TYPE = $(if $(findstring --layout=sebulba,$(ARGS)),,--lp_launch_type=local_mp)

train:
	@set -e; setup=setup venv=.venv; \
	if ! [ -e .venv/.installed ] && ! { [ "$$(uname -sm)" = "Linux x86_64" ] && \
			requirements/find_python.sh 3.10 >/dev/null; }; then \
		setup=setup-current venv=.venv-core; fi; \
	$(MAKE) --no-print-directory $$setup; \
	echo "mukoe: training with $$($$venv/bin/python -V), environment $$venv"; \
	$(if $(ARGS),,echo "MuZero on Breakout. On two cores: first update after about a minute," \
		"first evaluation after about ten$(comma) all 100$(comma)000 steps in about 80 minutes.";) \
	exec $$venv/bin/python programs/launch_atari.py $(LAUNCH_TYPE) --workdir=$(WORKDIR) $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/import_linter

# The distributed part mostly waits for processes, so it runs beside the core's tests.
test: lint setup-current
	$(MAKE) --jobs=2 test-core test-distributed

# Programs of several processes run one at a time.
test-distributed: setup
	@set -o pipefail; $(BIN)/python -m pytest -q --part distributed --cpu-durations=20 $(ARGS) 2>&1 \
		| sed -u 's/^/distributed: /'

test-core: setup-current
	.venv-core/bin/python -m pytest -q -n $(WORKERS) --dist loadgroup --part core --cpu-durations=20 $(ARGS)

# They compute more than they compile, so XLA optimises, unlike in the other tests.
test-slow: setup
	XLA_FLAGS= $(BIN)/python -m pytest -q -m "slow and not faults" $(ARGS)

# Programs wait for most of the time, so two tests run at once.
test-faults: setup
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m faults $(ARGS)

test-faults-current: setup-current
	.venv-core/bin/python -m pytest -q -n $(WORKERS) --dist worksteal --part all -m faults $(ARGS)

BENCHMARKS := search networks replay learner reanalyse inference actor shared_core end_to_end sebulba remote_environment
ROWS ?= runs/benchmarks.jsonl

# Needs a machine without other load. MALLOC_ARENA_MAX as in the nodes of a program.
benchmark: setup
	rm -f $(ROWS)
	set -e; for name in $(BENCHMARKS); do \
		MALLOC_ARENA_MAX=2 $(BIN)/python benchmarks/$$name.py --output=$(ROWS) $(ARGS); done
	$(BIN)/python benchmarks/table.py --rows=$(ROWS) --page=docs/performance.md

notebooks: setup-current
	.venv-core/bin/python notebooks/execute.py $(ARGS)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: setup-current
	rm -rf build
	.venv-core/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

site: setup-current
	NO_MKDOCS_2_WARNING=1 JAX_PLATFORMS=cpu .venv-core/bin/mkdocs build --strict

# The lock files name no index: they install from the one that the machine is configured for.
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(ARGS)
EXTRAS := --extra control --extra datasets --extra dev --extra dm_env_rpc --extra engines \
	--extra games --extra metrics --extra minigrid --extra video

lock: setup
	$(COMPILE) --python-version 3.10 --python-platform x86_64-manylinux2014 \
		--extra distributed --extra ray --extra vertex $(EXTRAS) -c requirements/constraints-py310.txt \
		setup.cfg requirements/tools.in -o requirements/lock-py310.txt
	$(COMPILE) --python-version 3.12 --universal --extra distributed --extra notebooks --extra ray --extra site \
		--extra sweeps --extra trackers $(EXTRAS) setup.cfg requirements/tools.in -o requirements/lock-core-py312.txt
	set -e; for target in cpu cuda12 tpu; do $(COMPILE) --no-annotate --python-version 3.10 \
		--python-platform x86_64-manylinux_2_31 --extra distributed --extra dm_env_rpc \
		--extra games --extra metrics $$([ $$target = cpu ] || echo --extra $$target) \
		-c requirements/constraints-py310.txt -c requirements/lock-py310.txt \
		setup.cfg requirements/tools.in -o requirements/container-$$target.txt; done
	echo uv | $(COMPILE) --universal --python-version 3.10 -c requirements/lock-py310.txt \
		--no-annotate - -o requirements/bootstrap.txt

clean:
	rm -rf .venv .venv-core .venv.lock .venv-core.lock .cache .mypy_cache .ruff_cache \
		.pytest_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
