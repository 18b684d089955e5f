import json


def test_pooling_on_a_sample_photo(benchmark, tmp_path, capsys):
    options = ["--proposals", "30", "--short_side", "160", "--channels", "[16, 5]", "--repeats", "1"]
    assert benchmark.main(["pooling", *options, "--out", str(tmp_path)]) == 0
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["pooling"]["tables"]
    forward, gradients = tables.values()
    assert [row["channels"] for row in forward] == [16] * 9 + [5] * 9
    compared = [row for row in forward if "bins_that_differ" in row]
    assert len(compared) == 6
    assert not any(row["bins_that_differ"] for row in compared)
    assert all(row["cpu_ms"] >= 0 for row in forward)
    assert gradients[0]["method"] == "this package"
    assert all(row["largest_difference"] < 1e-3 for row in gradients)
    assert "roi_pool" in capsys.readouterr().out
    assert benchmark.main(["pooling", "--proposals", "0"]) == 2
