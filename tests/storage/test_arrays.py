import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.storage import read_arrays, read_metadata, write_arrays

BASE = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
ARRAYS = {
    "plain": BASE,
    "transposed": BASE.transpose(2, 0, 1),
    "strided": BASE[:, ::2, 1::2],
    "reversed": BASE[::-1, :, ::-1],
    "fortran": np.asfortranarray(BASE),
    "broadcast": np.broadcast_to(np.float32(7), (3, 2)),
    "float16": BASE.astype(np.float16).T,
    "float64": BASE.astype(np.float64)[0],
    "bool": (BASE > 5)[:, :, 1],
    "uint8": BASE.astype(np.uint8)[1].T,
    "int64": np.array([-(2**62), 2**62]),
    "int32": np.arange(5, dtype=np.int32)[::2],
    "empty": np.zeros((0, 4), np.float32),
    "empty in the middle": np.zeros((3, 0, 2), np.float16),
    "scalar": np.array(2.5),
    "special": np.array([np.nan, np.inf, -np.inf, -0.0], np.float32),
    "big-endian": np.arange(4, dtype=">f4"),
}


def same(first, second):
    """Equal shape, values and, but for the order of bytes, type."""
    return (
        first.shape == second.shape
        and first.dtype == second.dtype.newbyteorder("=")
        and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    )


@pytest.mark.parametrize("name", ARRAYS)
def test_round_trip(tmp_path, name):
    write_arrays(tmp_path / "a.safetensors", {name: ARRAYS[name]}, {})
    arrays, _ = read_arrays(tmp_path / "a.safetensors")
    assert list(arrays) == [name]
    assert same(arrays[name], ARRAYS[name])


def test_round_trip_of_all_together_with_metadata(tmp_path):
    path = tmp_path / "folder" / "a.safetensors"
    write_arrays(path, ARRAYS, {"format_version": 1, "name": "é 猫"})
    arrays, metadata = read_arrays(path)
    assert set(arrays) == set(ARRAYS)
    assert all(same(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert metadata == read_metadata(path) == {"format_version": "1", "name": "é 猫"}


def test_only_what_is_asked_for(tmp_path):
    write_arrays(tmp_path / "a", {"x": BASE, "y": BASE[0]}, {})
    assert list(read_arrays(tmp_path / "a", ["y"])[0]) == ["y"]
    assert read_arrays(tmp_path / "a", [])[0] == {}


def test_no_arrays(tmp_path):
    write_arrays(tmp_path / "a", {}, {"k": "v"})
    assert read_arrays(tmp_path / "a") == ({}, {"k": "v"})


def test_the_input_is_left_alone_and_the_result_is_its_own(tmp_path):
    value = BASE.T
    write_arrays(tmp_path / "a", {"x": value}, {})
    assert not value.flags.c_contiguous
    read, _ = read_arrays(tmp_path / "a")
    read["x"][:] = 0
    assert same(read_arrays(tmp_path / "a")[0]["x"], BASE.T)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_round_trip_of_any_view(tmp_path, data):
    dtype = data.draw(st.sampled_from(["float16", "float32", "int64", "uint8", "bool"]))
    shape = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    value = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    value = value.transpose(data.draw(st.permutations(range(len(shape)))))
    value = value[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1, -2]))) for _ in shape)]
    write_arrays(tmp_path / "a", {"x": value}, {})
    assert same(read_arrays(tmp_path / "a")[0]["x"], value)


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([None]), np.array([1j]), np.array(["2020"], "M8[Y]")])
def test_anything_but_numbers_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="array 'x': expected numbers, got dtype"):
        write_arrays(tmp_path / "a", {"x": bad}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_cut_file_is_named(tmp_path):
    path = tmp_path / "cut.safetensors"
    write_arrays(path, {"x": BASE}, {})
    whole = path.read_bytes()
    for length in (0, 4, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors: expected a whole safetensors file"):
            read_arrays(path)
        with pytest.raises(ValueError, match=r"cut\.safetensors: expected a whole safetensors file"):
            read_metadata(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        read_arrays(tmp_path / "none")


def test_a_missing_array_is_named_with_its_file(tmp_path):
    write_arrays(tmp_path / "a.safetensors", {"x": BASE}, {})
    with pytest.raises(ValueError, match=r"a\.safetensors: .*'?y'?"):
        read_arrays(tmp_path / "a.safetensors", ["y"])


def test_equal_content_gives_equal_bytes(tmp_path):
    metadata = {f"key {i}": str(i) for i in range(8)}
    for name, pairs in (("a", metadata), ("b", dict(reversed(metadata.items())))):
        write_arrays(tmp_path / name, ARRAYS, pairs)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=5))
def test_metadata_of_any_text(tmp_path, metadata):
    write_arrays(tmp_path / "a", {"x": BASE, "é\n": BASE[0]}, metadata)
    arrays, read = read_arrays(tmp_path / "a")
    assert read == metadata
    assert same(arrays["x"], BASE)
    assert same(arrays["é\n"], BASE[0])
