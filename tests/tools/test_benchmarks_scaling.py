import json
import math

import numpy as np
import pytest

from detection.data import read_image


def test_scaling(benchmark, tmp_path, monkeypatch, capsys):
    """Structure of tables and curves; the whole runs take place in this process."""
    from benchmarks import chain, scaling

    def turn(checkout, options, folder):
        return chain.run([f"--run={folder}", *options])

    monkeypatch.setattr(scaling, "turn", turn)
    sizes = ["--proposals=[40,80]", "--sides=[120,160]", "--classes=[1,3]", "--images=[5]", "--repeats=1"]
    small = ["--features.short_sides=[64]", "--features.weights=random", f"--out={tmp_path}"]
    assert benchmark.main(["scaling", *sizes, *small]) == 0
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["scaling"]["tables"]
    assert list(tables) == [
        f"{what} {title}"
        for what in ("Exponents against", "Against")
        for title in ("proposals", "longer side", "classes", "images")
    ]
    stages = {title: {row["stage"] for row in rows} for title, rows in tables.items()}
    assert stages["Against proposals"] == {"pool", "score", "regress", "suppress", "all of these"}
    assert stages["Against longer side"] == {"decode", "proposals", "maps"}
    assert {"train SVMs", "train regressors"} < stages["Against classes"]
    assert {"proposals and maps", "SVMs", "total"} < stages["Against images"]
    assert {row["size"] for row in tables["Against images"]} == {5}
    assert all(row["cpu_s"] >= 0 for rows in list(tables.values())[4:] for row in rows)
    # One number of images makes no curve.
    assert not (tmp_path / "scaling-images.png").exists()
    for name in ("proposals", "side", "classes"):
        assert read_image(tmp_path / f"scaling-{name}.png").shape[1] > 1000
    assert benchmark.main(["scaling", "--proposals=[0]"]) == 2
    assert "sizes >= 1" in capsys.readouterr().err


def test_slopes(benchmark):
    from benchmarks.scaling import slope, slopes

    at = [1, 2, 4, 8]
    assert slope(at, [3.0 * x**2 for x in at]) == pytest.approx(2)
    assert slope(at, [None, "", 0, 5]) == ""
    rows = [{"size": n, "stage": "a", "cpu_s": 1e-3 * n, "MiB": 10 + n**2 // 10**4} for n in (100, 200, 400)]
    (row,) = slopes(rows, lambda size: size**2)
    assert (row["from"], row["to"]) == (100, 400)
    assert (row["cpu_s_exponent"], row["cpu_s_last"]) == pytest.approx((0.5, 0.5))
    assert row["MiB_last"] == pytest.approx(math.log(26 / 14) / math.log(4))


def test_made_up_proposals_lie_in_the_image(benchmark):
    from benchmarks.scaling import made_up_boxes

    boxes = made_up_boxes(500, (200, 300))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array([300, 200]) + 1e-3).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 5).all()
