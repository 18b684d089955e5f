import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.engines.openvino_import import import_openvino

pytest.importorskip("openvino")
# Converting and computing, where any socket is refused.
CODE = """
import socket
class Refused(socket.socket):
    def __init__(self, *arguments, **named):
        raise SystemExit("a socket was opened")
socket.socket = Refused
import torch
from torch import fx, nn
from detection.engines import make_engine
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
    def forward(self, x):
        return (self.conv(x),)
network = fx.symbolic_trace(Network().eval())
assert make_engine("openvino", network, 2)(torch.zeros(1, 3, 8, 8))[0].shape == (1, 4, 4, 4)
"""


def test_it_is_the_package():
    assert import_openvino() is sys.modules["openvino"]


def test_nothing_is_written_home_and_nobody_is_called(tmp_path):
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "SPPNET_CACHE": str(cache)}
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", CODE], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert list(home.rglob("*")) == []
    assert len(list(cache.iterdir())) == 3
