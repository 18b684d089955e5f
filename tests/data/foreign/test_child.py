import os
import pickle
import time

import numpy as np
import pytest
import scipy.io

from detection.data.foreign import child
from detection.data.foreign.child import ForeignReader
from detection.storage.bounded import TooLargeError

# Pushes a tuple in a tuple in a tuple ..., and takes it for the key of a dictionary: the interpreter itself crashes.
DEEP_KEY = b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns."
# Copies a list of 200,000 values 100,000 times, and keeps none.
COPIES = b"\x80\x02](" + b"N" * 200_000 + b"eq\x00" + b"cbuiltins\nlist\nh\x00\x85R0" * 100_000 + b"."
# Copies it and keeps each.
KEPT = b"\x80\x02](" + b"N" * 200_000 + b"eq\x00" + b"cbuiltins\nlist\nh\x00\x85R" * 100_000 + b"."


@pytest.fixture
def reader():
    with ForeignReader() as one:
        yield one


def written(tmp_path, content, name="a.pkl"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_values_come_as_they_are(tmp_path, reader):
    array = np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4))
    content = {"a": [array, array, None, True, 3, 2.5, float("nan"), "ü"], 7: (1, (2,)), "b": b"\xff", "c": np.int16(4)}
    found = reader.read("pickle", written(tmp_path, pickle.dumps(content)))
    first, second, *rest = found["a"]
    assert np.array_equal(first, array)
    assert first is second
    assert rest[:4] == [None, True, 3, 2.5]
    assert np.isnan(rest[4])
    assert (rest[5], found[7], found["b"], found["c"].item()) == ("ü", [1, [2]], "ÿ", 4)


def test_one_process_reads_all_files_and_goes_with_the_reader(tmp_path):
    with ForeignReader() as reader:
        scipy.io.savemat(tmp_path / "a.mat", {"boxes": np.ones((1, 4))})
        assert reader.read("mat", tmp_path / "a.mat")[1].tolist() == [[1, 1, 1, 1]]
        process = reader._process
        with pytest.raises(ValueError, match=r"bad\.pkl: expected a pickle"):
            reader.read("pickle", written(tmp_path, b"bad", "bad.pkl"))
        assert reader.read("pickle", written(tmp_path, pickle.dumps([1]))) == [1]
        assert reader._process is process
    assert process.returncode == 0


def test_a_file_that_crashes_its_reader_is_named_and_the_next_is_read(tmp_path, reader):
    with pytest.raises(ValueError, match=r"a\.pkl: expected a pickle file .*reading it ended its process"):
        reader.read("pickle", written(tmp_path, DEEP_KEY))
    assert reader.read("pickle", written(tmp_path, pickle.dumps([1]))) == [1]


def test_limits_hold_for_each_file(tmp_path, reader, monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(child, "SECONDS", 1)
    with pytest.raises(ValueError, match=r"a\.pkl: .* (ended its process \((SIGXCPU|SIGKILL)\)|took more than 12 s)"):
        reader.read("pickle", written(tmp_path, COPIES))
    monkeypatch.setattr(child, "SECONDS", 60)
    monkeypatch.setattr(child, "MEMORY", 2**27)
    with pytest.raises(ValueError, match=r"a\.pkl: expected a pickle .* got MemoryError"):
        reader.read("pickle", written(tmp_path, KEPT))
    assert reader.read("pickle", written(tmp_path, pickle.dumps([1]))) == [1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_file_that_never_ends_is_left_in_time(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(child, "SECONDS", 1)
    monkeypatch.setattr(child, "WAITING", 2)
    os.mkfifo(tmp_path / "a.pkl")
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"a\.pkl: .* reading it took more than 2 s"):
        reader.read("pickle", tmp_path / "a.pkl")
    assert 2 <= time.monotonic() - start < 20


def test_bytes_up_to_the_limit(tmp_path, reader, monkeypatch):
    path = written(tmp_path, pickle.dumps([1]))
    monkeypatch.setattr(child, "MAX_BYTES", path.stat().st_size)
    assert reader.read("pickle", path) == [1]
    monkeypatch.setattr(child, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(TooLargeError, match=r"a\.pkl: expected at most"):
        reader.read("pickle", path)


def test_arrays_of_other_things_are_refused(tmp_path, reader):
    scipy.io.savemat(tmp_path / "a.mat", {"boxes": np.ones((1, 4)) * 1j})
    with pytest.raises(ValueError, match=r"a\.mat: expected a file of proposals, got an array of complex128"):
        reader.read("mat", tmp_path / "a.mat")
