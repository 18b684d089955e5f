# Each target sets up what it needs: an environment in .venv, with the package and its dependencies.
PYTHON ?= python3.11
ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif
BIN := .venv/bin
# One thread a process for BLAS and OpenMP: the work is spread over processes.
export OMP_NUM_THREADS ?= 1

# What the rooms without torch import; the ranges are those of pyproject.toml.
BENCH_NEEDS := "jsonargparse[signatures]>=4.38" "numba>=0.60" "numpy>=1.26" "Pillow>=10.3" "PyYAML>=6.0" "rich>=13.7" \
	"safetensors>=0.4.5" "scikit-learn>=1.5" "scipy>=1.12" "threadpoolctl>=3.4"

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := demo

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $@

demo: .venv/installed
	$(BIN)/python tools/demo.py

test: .venv/installed
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# An environment of its own: opencv-contrib in place of opencv-python (they overwrite each other), and no torch.
.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --upgrade pip
	.venv-bench/bin/python -m pip install "opencv-contrib-python>=4.9" $(BENCH_NEEDS)
	.venv-bench/bin/python -m pip install --no-deps --editable .
	touch $@

# BENCH: options, e.g. make bench BENCH="--voc FOLDER/VOCdevkit". Without any, two sample photos are timed.
bench: .venv-bench/installed
	.venv-bench/bin/python tools/benchmark.py proposals $(BENCH)

clean:
	rm -rf .venv .venv-bench runs data/digits
