"""The benchmark of backbones: costs, and runs with each, of which one has no weights to begin with."""

import json

import pytest
import timm
from torch import nn


def test_costs_and_whole_runs(measure, shapes, tmp_path):
    absent = tmp_path / "absent.pth"
    names = ["efficientnet_lite0:16,32", f"timm/mobilenetv3_small_050:blocks.3:mean:{absent}"]
    quick = ["--features.short_sides=64,96", "--features.levels=1", "--workers=1", "--report.photos=0"]
    options = [f"--voc={shapes}", f"--options={json.dumps(quick)}", "--short_sides=[64]", "--repeats=1"]
    costs, runs = measure("backbones", f"--backbones={json.dumps(names)}", *options)
    assert [(row["strides"], row["channels"]) for row in costs] == [([16, 32], [112, 320]), ([16], [24])]
    assert all(row["GMAC"] > 0 and row["cpu_ms"] > 0 for row in costs)
    assert costs[0]["weights"] == "package"
    assert costs[1]["weights"].startswith("model.safetensors of https://huggingface.co/timm/mobilenetv3_small_050")
    assert 0 < runs[0]["mAP"] <= 1
    assert runs[1]["mAP"] == ""
    assert "absent.pth" in runs[1]["why_not"]


def test_multiplications_are_counted(benchmark):
    import torch
    from benchmarks.backbones import gmac

    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert gmac(convolution, [torch.zeros(1, 3, 10, 20)]) == pytest.approx(3 * 8 * 9 * 200 / 1e9)
    # Attention too, which kernels of a processor do in one piece: two products of all pairs of tokens.
    attention = timm.layers.Attention(64, num_heads=2)
    alone = sum(64 * one for one in (3 * 64, 64)) * 50
    assert gmac(attention, [torch.zeros(1, 50, 64)]) == pytest.approx((alone + 2 * 50 * 50 * 64) / 1e9)


def test_wrong_candidates(benchmark, capsys):
    for wrong in ("resnet19", "resnet18:0", "resnet18:16:median"):
        assert benchmark.main(["backbones", f"--backbones=['{wrong}']"]) == 2
    assert "pooling: expected max or mean" in capsys.readouterr().err
