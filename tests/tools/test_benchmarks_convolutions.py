"""The benchmark of convolutions on small images: every engine is there, and agrees with eager PyTorch."""

from importlib.util import find_spec

import pytest
import torch


def test_engines_agree(measure):
    (rows,) = measure("convolutions", "--backbones=[alexnet]", "--short_sides=[64,96]", "--repeats=1")
    by_method = {row["method"]: row for row in rows}
    engines = {"torch", *(one for one in ("openvino",) if find_spec(one))}
    assert by_method.keys() == {"eager PyTorch, NCHW", *engines}
    assert float(by_method["eager PyTorch, NCHW"]["error"]) == 0
    assert all(0 < float(by_method[engine]["error"]) < 1e-4 for engine in engines)
    assert all(by_method[engine]["made_in_s"] > 0 for engine in engines)


def test_other_strides_and_engines_that_are_not_there(benchmark, measure, monkeypatch, capsys):
    from benchmarks import convolutions

    class Backbone(convolutions.Backbone):
        def __init__(self, *arguments, engine="torch", **options):
            if engine == "openvino":
                raise ValueError("it is not installed")
            super().__init__(*arguments, engine=engine, **options)

    monkeypatch.setattr(convolutions, "Backbone", Backbone)
    options = ["--backbones=['resnet18:8']", "--short_sides=[32]", "--engines=[openvino]", "--repeats=1"]
    (rows,) = measure("convolutions", *options)
    assert [(row["method"], row["strides"]) for row in rows] == [("eager PyTorch, NCHW", [8])]
    assert "resnet18: engine openvino is left out: it is not installed" in capsys.readouterr().out


def test_errors_are_relative_to_the_largest_value(benchmark):
    from benchmarks.convolutions import largest_error

    maps = [torch.tensor([1.0, 2.0]), torch.tensor([8.0])]
    assert largest_error(maps, maps) == 0
    assert largest_error([maps[0], maps[1] - 4], maps) == pytest.approx(0.5)
    assert benchmark.main(["convolutions", "--repeats=0"]) == 2
    assert benchmark.main(["convolutions", "--engines=[tensorrt]"]) == 2
