import numpy as np
import pytest


def test_scaling(benchmark, measure, finished):
    sizes = ["--proposals=[80,40]", "--sides=[120,160]", "--classes=[1,3]", "--repeats=1"]
    proposals, sides, classes = measure("scaling", *sizes, f"--run={finished}")
    assert [row["stage"] for row in proposals] == ["pooling", "scores", "regression", "suppression"]
    assert [row["stage"] for row in sides] == ["decode", "proposals", "maps"]
    assert [row["stage"] for row in classes] == ["scores", "regression", "suppression"]
    for rows, (first, last), power in ((proposals, (40, 80), 1), (sides, (120, 160), 2), (classes, (1, 3), 1)):
        for row in rows:
            ratio = np.log(row[f"at_{last}_s"] / row[f"at_{first}_s"]) / np.log(last / first) / power
            assert row["exponent"] == pytest.approx(ratio)
    (only,) = measure("scaling", "--proposals=[]", "--sides=[]", "--classes=[1]", "--repeats=1", f"--run={finished}")
    assert {row["exponent"] for row in only} == {""}
    assert benchmark.main(["scaling", "--proposals=[0]"]) == 2


def test_slope(benchmark):
    from benchmarks.scaling import slope

    assert slope([1, 2, 4, 8], [3.0, 12, 48, 192]) == pytest.approx(2)
    assert slope([1, 2, 4], [0.0, 0, 5]) == ""


def test_random_boxes_lie_in_the_image(benchmark):
    from benchmarks.inputs import random_boxes

    boxes = random_boxes(500, (200, 300))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array([300, 200]) + 1e-3).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 5).all()


def test_a_photo_gets_the_longer_side_asked_for(benchmark, tmp_path):
    from benchmarks.inputs import sample_paths
    from benchmarks.scaling import resized

    from detection.data import image_size

    assert image_size(resized(sample_paths()[0], 64, tmp_path)) == (43, 64)
