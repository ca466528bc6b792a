# make demo   installs, trains ESTAG and fits Frame kernel on the bundled trajectory: one table, figures
# make test   installs and runs the tests (make test-slow: the slow ones)
# make test-latest   the tests with the newest jax and flax, where there is a Python 3.12 or newer (LATEST=python3.12)
# make soak   damaged files by the thousand, every operation on files that can fail, kills (docs/reliability.md)
# make bench  times training beside plain PyTorch: benchmarks/results/ and docs/performance.md
# make pretrained   fits the forecasters that ship with the package
# make docs   builds the site into build/docs and runs the notebooks; a warning is an error
# make lint   style, formatting, types, and whether the pages show the kept results
PYTHON ?= python3
BIN := .venv/bin
DEMO_OUT ?= runs/demo
DEMO_ARGS ?=
BENCH_ARGS ?=
MUTATIONS ?= 1000
SWEEP ?= 0
KILLS ?= 50
LATEST ?= python3.12
# Most of the tests' time is compilation of what runs once; XLA optimises it for those who run it often, and its
# older code generation, which jaxlib 0.12 no longer has, takes a third less. make test QUICK= tests what users
# run; so do make test-slow and make soak.
QUICK ?= JAX_DISABLE_MOST_OPTIMIZATIONS=true XLA_FLAGS=--xla_cpu_use_fusion_emitters=false

.PHONY: bench demo docs licences pretrained test test-slow test-latest soak lint format install clean

install: .venv/installed
.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "estag_jax needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: install
	$(BIN)/estag train --preset demo --out $(DEMO_OUT) --overwrite $(DEMO_ARGS)

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .[bench]
	$(BIN)/python benchmarks/side_by_side.py $(BENCH_ARGS)

pretrained: install
	$(BIN)/python experiments/pretrained.py

test: install
	$(QUICK) $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: install
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

test-latest:
	@if $(LATEST) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	  $(LATEST) -m venv .venv-latest && \
	  .venv-latest/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-latest.txt && \
	  .venv-latest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e . && \
	  .venv-latest/bin/python -m pip check && $(firstword $(QUICK)) .venv-latest/bin/python -m pytest -n auto; \
	else echo "test-latest: not run, $(LATEST) is no Python 3.12 or newer; name one with make test-latest LATEST=..."; fi

licences: install
	$(BIN)/python experiments/licences.py

docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -e '.[docs]'
	rm -rf docs/notebooks && cp -r notebooks docs/
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs build/docs
	@echo build/docs/index.html

soak: install
	ESTAG_MUTATIONS=$(MUTATIONS) ESTAG_SWEEP=$(SWEEP) ESTAG_KILLS=$(KILLS) $(BIN)/python -m pytest -n auto \
	  -m "slow or not slow" tests/sources/test_mutations.py tests/runs/test_crashes.py tests/runs/test_loads.py \
	  tests/runs/test_disk.py tests/models/test_many.py tests/models/test_extremes.py

lint: install
	$(BIN)/python -m pip check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check
	$(BIN)/python experiments/results.py --check

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-latest runs build *.egg-info .pytest_cache .ruff_cache .hypothesis
