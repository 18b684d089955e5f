"""The check of a GPU, here of the CPU against itself."""

from functools import partial

import pytest
import torch

from detection.features import FeatureSettings


@pytest.fixture
def check_gpu(benchmark, monkeypatch):
    import check_gpu

    yield check_gpu
    monkeypatch.delitem(__import__("sys").modules, "check_gpu")


def test_no_gpu_is_said_in_a_sentence(check_gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check_gpu.main([]) == 2
    assert capsys.readouterr().out == "There is no GPU that this PyTorch can use, so nothing was checked.\n"


def test_a_device_against_itself(check_gpu, monkeypatch, capsys):
    small = partial(FeatureSettings, short_sides=(96,), levels=(2, 1))
    for name, value in {"FeatureSettings": small, "BATCHES": (1, 2), "SIZE": (150, 200), "REGIONS": 200}.items():
        monkeypatch.setattr(check_gpu, name, value)
    assert check_gpu.main(["--device=cpu", "--photos=1", "--batches=2"]) == 0
    text = capsys.readouterr().out
    assert "| detections not alike | 0 |" in text.replace("0.000", "0").replace("-0 ", "0 ")
    assert text.endswith("All differences are those of rounding.\n")
    monkeypatch.setattr(check_gpu, "pool_tensor", lambda *given: 1.1 * check_gpu_pool(*given))
    assert check_gpu.main(["--device=cpu", "--photos=1", "--batches=2"]) == 1
    assert capsys.readouterr().out.endswith("too different: max pooling, mean pooling\n")


def check_gpu_pool(*given):
    from detection.pooling.torch_pooling import pool_tensor

    return pool_tensor(*given)
