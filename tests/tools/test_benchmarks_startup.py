import subprocess
import sys

import pytest


def test_one_start(benchmark, finished, tmp_path, monkeypatch):
    """In a process of its own, with the kernels that tests have compiled."""
    from benchmarks import startup
    from benchmarks.inputs import sample_paths

    laps = startup.start(finished / "detector", sample_paths()[0], None, 1)
    assert list(laps) == [*startup.TO_FIRST, "later detection"]
    assert all(cpu > 0 and wall > 0 for cpu, wall in laps.values())
    monkeypatch.setattr(startup, "_START", "raise OSError('nothing here')")
    with pytest.raises(ValueError, match=r"a Python process failed:[^@]*nothing here"):
        startup.start(tmp_path, tmp_path, None, 1)


def test_the_first_start_has_empty_caches(benchmark, measure, finished, monkeypatch):
    from benchmarks import startup

    calls = []

    def start(detector, photo, caches, threads):
        calls.append(list(caches.iterdir()))
        (caches / "kept").touch()
        return {name: [10.0 - len(calls), 1.0] for name in (*startup.TO_FIRST, "later detection")}

    monkeypatch.setattr(startup, "start", start)
    ((first, later),) = measure("startup", f"--run={finished}", "--repeats=2")
    assert list(map(len, calls)) == [0, 1, 1]
    assert (first["starts"], later["starts"]) == (1, 2)
    assert (first["load_cpu_s"], later["load_cpu_s"]) == (9, 7.5)
    assert (later["to_first_detection_cpu_s"], later["to_first_detection_wall_s"]) == (30, 4)
    assert benchmark.main(["startup", "--repeats=0"]) == 2


def test_loading_a_detector_loads_no_large_package(finished):
    """What `import torch` and a first detection need, and not timm, torchvision or what torch loads for compiling."""
    code = (
        "import sys; from detection import Detector; Detector.load(sys.argv[1]); "
        "print({'timm', 'torchvision', 'sympy', 'torch._dynamo'} & set(sys.modules))"
    )
    call = [sys.executable, "-c", code, str(finished / "detector")]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
