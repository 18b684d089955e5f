# Each target sets up what it needs: an environment in .venv, with the package and its dependencies.
PYTHON ?= python3.11
ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif
BIN := .venv/bin
# One thread a process for BLAS and OpenMP: the work is spread over processes.
export OMP_NUM_THREADS ?= 1

# PyTorch without CUDA is a twentieth of the size. On Linux its wheels lie on an index of their own, which is asked where
# there is no NVIDIA driver. TORCH_INDEX=URL names another, TORCH_INDEX= the plain package index.
ifeq ($(shell uname -s),Linux)
ifeq ($(shell command -v nvidia-smi 2>/dev/null),)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif
endif

.PHONY: demo test test-oldest lint docs bench campaign mutants clean
.DEFAULT_GOAL := demo

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	@if [ -z "$(TORCH_INDEX)" ]; then :; \
	elif $(BIN)/python -c 'from urllib.request import urlopen; urlopen("$(TORCH_INDEX)/torch/", timeout=5)' 2>/dev/null; then \
		$(BIN)/python -m pip install --index-url "$(TORCH_INDEX)" "torch>=2.6" "torchvision>=0.21"; \
	else \
		echo "$(TORCH_INDEX) cannot be reached: PyTorch comes from the plain package index, some 5 GB with CUDA"; \
	fi
	$(BIN)/python -m pip install --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $@

demo: .venv/installed
	$(BIN)/python tools/demo.py

test: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# The oldest versions that pyproject.toml allows, in an environment of their own: the rooms that use them most, the
# golden files and a whole tiny run.
OLDEST_TESTS := tests/geometry tests/storage tests/data tests/pooling tests/learning tests/evaluation tests/golden \
	tests/features tests/engines tests/visualization tests/commands/test_run_pipeline.py tests/test_config.py
.venv-oldest/installed: pyproject.toml tests/oldest.txt
	python3.11 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --constraint tests/oldest.txt --editable ".[dev]"
	touch $@

test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest $(OLDEST_TESTS)

lint: .venv/installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# The pages that are made from docstrings and help: docs/commands, docs/settings, docs/api.md.
docs: .venv/installed-dev
	$(BIN)/python tools/docs.py

# An environment of its own: the contributed modules of OpenCV in place of the plain ones, since they overwrite each other.
NEEDS_BUT_OPENCV := 'import tomllib; print("\n".join(one for one in \
	tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if not one.startswith("opencv")))'
.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --upgrade pip
	.venv-bench/bin/python -c $(NEEDS_BUT_OPENCV) > .venv-bench/needs.txt
	.venv-bench/bin/python -m pip install -r .venv-bench/needs.txt "opencv-contrib-python-headless>=4.9"
	.venv-bench/bin/python -m pip install --no-deps --editable .
	touch $@

# BENCH: a command and its options, e.g. make bench BENCH="proposals --voc FOLDER/VOCdevkit".
BENCH ?= all
bench: .venv-bench/installed
	.venv-bench/bin/python tools/benchmark.py $(BENCH)

# Attacks on runs, files and readers, drawn by a seed; within an hour on two cores. CAMPAIGN: its options.
campaign: .venv/installed-dev
	$(BIN)/python -m tests.campaign $(CAMPAIGN)

# Small changes of the code, drawn by a seed, that no test notices; under an hour on two cores. MUTANTS: its options.
mutants: .venv/installed-dev
	$(BIN)/python -m tests.mutants $(MUTANTS)

clean:
	rm -rf .venv .venv-bench .venv-oldest runs data/digits
