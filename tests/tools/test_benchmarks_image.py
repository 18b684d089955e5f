import json

import pytest


@pytest.fixture
def command(benchmark, monkeypatch):
    from benchmarks import image

    monkeypatch.setattr(image, "HASHED_BLOCKS", 1)
    return benchmark.main


def test_image(command, finished, tmp_path, capsys):
    few = ["--photos=1", "--repeats=1", "--crops=3", "--folder=2"]
    assert command(["image", f"--run={finished}", *few, f"--out={tmp_path}"]) == 0
    tables = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["image"]["tables"]
    image, stages, rcnn, folder = tables.values()
    assert [(row["method"], row["threads"]) for row in image] == [
        ("all in", 1),
        ("plain convolutions", 1),
        ("all in", 2),
        ("plain convolutions", 2),
        ("plain convolutions, scales side by side", 2),
    ]
    assert [bool(row.get("of_convolutions_cpu")) for row in image] == [True, False, True, False, False]
    shares = {row["stage"]: row["share"] for row in stages}
    assert shares.pop("sum") == pytest.approx(sum(shares.values()))
    assert [(row["network"], row["short_sides"]) for row in rcnn] == [
        (network, sides) for network in ("fused", "plain") for sides in ([96], [688], [480])
    ]
    for row in rcnn:
        assert row["crops_timed"] == 3
        assert row["times_with_proposals"] < row["times_without_proposals"]
    assert [row["at_a_time"] for row in folder] == [1, 1, 2, 1, 2]
    assert "of convolutions cpu" in capsys.readouterr().out
    assert command(["image", "--photos=0"]) == 2


def test_a_start(command, finished, tmp_path, monkeypatch, capsys):
    """One start in a process of its own, with the kernels that tests have compiled; the command with such starts."""
    from benchmarks import startup
    from benchmarks.inputs import photo_paths

    one = startup.start(finished / "detector", photo_paths(None, "", "", 1)[0], None, 1)
    assert list(one["laps"]) == [*startup.TO_FIRST, "later detection"]
    assert one["heavy"] == []
    monkeypatch.setattr(startup, "_START", "raise OSError('nothing here')")
    with pytest.raises(ValueError, match=r"a fresh process: expected detections, got .*nothing here"):
        startup.start(tmp_path, tmp_path, None, 1)
    calls = []
    monkeypatch.setattr(startup, "start", lambda *arguments: calls.append(arguments) or one)
    assert command(["startup", f"--run={finished}", "--repeats=2", f"--out={tmp_path}"]) == 0
    first, later = json.loads((tmp_path / "benchmark.json").read_text())["commands"]["startup"]["tables"].popitem()[1]
    assert (first["start"], first["starts"], later["starts"]) == ("first ever", 1, 2)
    assert first["compiling_cpu_s"] == 0
    assert later["to_first_detection_wall_s"] == pytest.approx(sum(one["laps"][name][1] for name in startup.TO_FIRST))
    # All with one cache, empty at first.
    assert len({cache for _, _, cache, _ in calls}) == 1
    assert command(["startup", "--repeats=0"]) == 2
