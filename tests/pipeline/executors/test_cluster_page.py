"""What docs/cluster.md tells to type is typed here, with other ports and folders, and `ssh HOST` left out."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from detection.pipeline.executors.dask_cluster import dask_workers

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
LOCAL, CALLS, SSH = (block.splitlines() for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@contextmanager
def running(commands, folder):
    """Programs that run while the block lasts."""
    with ExitStack() as stack:
        for command in commands:
            # Its own processes end with it.
            program = stack.enter_context(subprocess.Popen(shlex.split(command), env=ENVIRONMENT, cwd=folder))
            stack.callback(program.terminate)
        yield


@pytest.mark.skipif(os.name != "posix", reason="ends programs by signals")
def test_on_one_machine(finished, shapes, shape_options, tmp_path, port):
    calls = [line.replace("8786", port) for line in CALLS]
    calls[0] = calls[0].replace("--config custom --dataset.root FOLDER", shlex.join(shape_options))
    calls[1] = calls[1].replace(" FOLDER", f" {shapes / 'VOC2007/JPEGImages'}")
    with running([line.replace("8786", port) for line in LOCAL], tmp_path):
        for call in calls:
            done = subprocess.run(
                shlex.split(call), env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (call, done.stderr)
            assert f" workers at tcp://127.0.0.1:{port}, dashboard http" in done.stderr
    results = ("detections/test.json", "detector/svms.safetensors", "evaluation/test.misses.json")
    assert all((tmp_path / "runs/mine" / one).read_bytes() == (finished / one).read_bytes() for one in results)
    assert len(list((tmp_path / "found").glob("*.jpg"))) == len(list((shapes / "VOC2007/JPEGImages").glob("*.jpg")))


@pytest.mark.skipif(os.name != "posix", reason="ends programs by signals")
def test_by_ssh(tmp_path, port):
    there = (" ".join(line.split()[2:]) for line in SSH)
    commands = [
        one.replace("8786", port).replace("head", "127.0.0.1").replace("--nworkers 8", "--nworkers 1") for one in there
    ]
    with running(commands, tmp_path), dask_workers(f"tcp://127.0.0.1:{port}", tmp_path) as executor:
        assert list(executor(abs, range(-20, 0))) == list(range(20, 0, -1))


def test_slurms_python_compiles():
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    compile(text, "cluster.md", "exec")
