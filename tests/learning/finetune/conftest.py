"""Lets the tests of this folder, and the processes they start, import finetune_problem.py."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def task(tmp_path):
    """A task of the small problem, in a folder of its own."""
    return importlib.import_module("finetune_problem").make_task(tmp_path)
