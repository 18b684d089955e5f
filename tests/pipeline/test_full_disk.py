"""On a disk without room a run ends with one line, and goes on to the same bits when there is some."""

import subprocess

import pytest

from detection.storage import file_fingerprint


@pytest.fixture
def disk(tmp_path):
    """A function that gives a file system of its own so many KiB; those who may not make one pass the test over."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kib):
        how = f"remount,size={kib}k" if place.is_mount() else f"size={kib}k"
        words = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)]
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("needs the right to mount a file system")
        return place

    yield resize
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def results(run):
    names = ("detector/svms.safetensors", "detector/regressors.safetensors", "detections/test.json")
    return [file_fingerprint(run / name) for name in names]


def test_a_run_on_a_disk_that_grows(disk, load_tool, shape_options, finished, capsys):
    """Full in one stage after the other, the mining among them, whose file of rows is mapped."""
    main, stages = load_tool("run_pipeline").main, set()
    for kib in (8, 64, 1500, 4000, 8000, 16000, 24000, 48000):
        run = disk(kib) / "run"
        status = main([*shape_options, f"--run={run}"])
        said = capsys.readouterr()
        if status == 0:
            break
        assert status == 1, said.err
        lines = said.err.strip().split("\n")
        assert lines[-1].startswith("error: [Errno 28] No space left on device")
        assert lines[-1].endswith("the same command goes on from there once that is mended")
        assert "Traceback" not in said.err
        stages.add(lines[-2].split(":")[0])
    assert status == 0
    assert len(stages) > 2, stages
    assert not list(run.rglob(".tmp-*"))
    assert not (run / ".lock").exists()
    assert results(run) == results(finished)
