import sys

import numpy as np
import pytest

from detection.engines.ir_cache import cache_folder, load_or_convert

openvino = pytest.importorskip("openvino")
KEY = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPPNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model(factor=2.0):
    from openvino import opset14

    x = opset14.parameter([-1, 3], np.float32)
    return openvino.Model([opset14.multiply(x, opset14.constant(np.full((1, 3), factor, np.float32)))], [x], "twice")


def value_of(found):
    return float(openvino.Core().compile_model(found, "CPU")(np.ones((1, 3), np.float32))[0][0, 0])


def refuse():
    raise AssertionError("it was converted again")


def test_a_kept_network_is_not_converted_again(folder):
    assert value_of(load_or_convert(KEY, model)) == 2
    assert sorted(path.name for path in folder.iterdir()) == [KEY + end for end in (".bin", ".json", ".xml")]
    assert value_of(load_or_convert(KEY, refuse)) == 2
    assert value_of(load_or_convert("another", lambda: model(3.0))) == 3


def test_the_first_process_has_what_later_ones_read(folder):
    """OpenVINO 2025.1 rounds otherwise in a network that it has just converted."""
    made = model()
    assert load_or_convert(KEY, lambda: made) is not made


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".json"])
@pytest.mark.parametrize("damage", ["a byte", "cut", "gone"])
def test_a_damaged_network_is_converted_again(folder, suffix, damage):
    load_or_convert(KEY, model)
    path = folder / (KEY + suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "a byte" else content[:5])
    made = []
    assert value_of(load_or_convert(KEY, lambda: made.append(1) or model())) == 2
    assert made == [1]
    assert value_of(load_or_convert(KEY, refuse)) == 2


def test_a_folder_that_cannot_be_written_costs_the_conversion_alone(folder, caplog):
    folder.write_text("a file where the folder should be")
    assert value_of(load_or_convert(KEY, model)) == 2
    assert value_of(load_or_convert(KEY, lambda: model(3.0))) == 3
    assert all("cannot be kept" in message for message in caplog.messages)
    assert len(caplog.messages) == 2


def test_a_network_is_made_beside_the_kept_ones(folder, monkeypatch, caplog):
    """From the system's folder of temporary files, on another disk, nothing can be moved."""
    monkeypatch.setattr("tempfile.tempdir", str(folder.parent / "absent"))
    load_or_convert(KEY, model)
    assert caplog.messages == []
    assert value_of(load_or_convert(KEY, refuse)) == 2


def test_no_home_folder(folder, monkeypatch, caplog):
    monkeypatch.delenv("SPPNET_CACHE")
    monkeypatch.setattr("detection.engines.ir_cache.cache_folder", cache_folder_that_fails)
    assert value_of(load_or_convert(KEY, model)) == 2
    assert "set SPPNET_CACHE" in caplog.text


def cache_folder_that_fails():
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".cache/sppnet"),
        ("linux", {"XDG_CACHE_HOME": "elsewhere"}, "elsewhere/sppnet"),
        ("darwin", {}, "Library/Caches/sppnet"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/sppnet"),
        ("linux", {"SPPNET_CACHE": "own"}, "own"),
    ],
)
def test_the_folder(monkeypatch, tmp_path, platform, variables, expected):
    for name in ("SPPNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    assert cache_folder() == tmp_path / expected
