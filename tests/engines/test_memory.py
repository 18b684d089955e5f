"""Malloc's options are set once, and never against the environment."""

import os
import platform
import subprocess
import sys

import pytest

CODE = "from detection.engines.memory import keep_freed_memory; print(keep_freed_memory(), keep_freed_memory())"


@pytest.mark.parametrize(("name", "own"), [("MALLOC_TOP_PAD_", True), ("SOMETHING_ELSE", False)])
def test_the_environment_has_its_way(name, own):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")} | {name: "131072"}
    found = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    done = not own and platform.libc_ver()[0] == "glibc"
    assert found.stdout.split() == [str(done)] * 2
