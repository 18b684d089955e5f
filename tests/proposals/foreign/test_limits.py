"""Proposal files that claim more than they hold, or crash their readers."""

import io
import re
import zipfile

import numpy as np
import pytest

from detection.proposals.foreign import read_proposals, text


def npz_member(shape, content, dtype="<f8"):
    """The bytes of a .npy file whose header says what it likes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("shape", [(10**12, 4), (0, 4), (2, 4), (-1, 4), (3, 4)])
def test_npz_whose_header_is_not_of_its_bytes(tmp_path, shape):
    path = tmp_path / "boxes.npz"
    write_zip(path, {"a.npy": npz_member(shape, bytes(32))})
    with pytest.raises(ValueError, match=r"boxes\.npz: expected an \.npz of numbers, got .*'a\.npy': float64 of shape"):
        read_proposals(path)
    write_zip(path, {"a.npy": npz_member((1, 4), bytes(32))})
    assert read_proposals(path).boxes[0].tolist() == [[0, 0, 0, 0]]


def test_npz_that_grows(tmp_path, monkeypatch):
    path = tmp_path / "boxes.npz"
    members = {"a.npy": npz_member((1000, 4), bytes(32000)), "b.npy": npz_member((1, 4), bytes(32))}
    write_zip(path, members)
    total = sum(map(len, members.values()))
    monkeypatch.setattr(text, "MAX_INFLATION", 1)
    monkeypatch.setattr(text, "MIN_INFLATED", total - path.stat().st_size)
    assert len(read_proposals(path)) == 2
    monkeypatch.setattr(text, "MIN_INFLATED", total - path.stat().st_size - 1)
    with pytest.raises(ValueError, match=rf"boxes\.npz: .*{total:,} bytes of arrays, at most {total - 1:,} are read"):
        read_proposals(path)


@pytest.mark.parametrize(
    "members",
    [
        {"a.npy": b""},
        {"a.npy": b"\x93NUMPY\x01\x00\xff\xff"},
        {"a.npy": b"\x93NUMPY\x01\x00\x08\x00" + b"(" * 8},
        {"a.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"},
        {"a.npy": b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10000},
        {"a.txt": b"text"},
    ],
    ids=range(6),
)
def test_npz_of_broken_headers(tmp_path, members):
    path = tmp_path / "boxes.npz"
    write_zip(path, members)
    with pytest.raises(ValueError, match=r"boxes\.npz: expected an \.npz of numbers"):
        read_proposals(path)


def test_npz_of_another_compression(tmp_path):
    path = tmp_path / "boxes.npz"
    write_zip(path, {"a.npy": npz_member((1, 4), bytes(32))}, zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="compression 14, expected deflate"):
        read_proposals(path)


@pytest.mark.parametrize(
    "name",
    [
        "fuzz_mat5_140", "fuzz_mat5_332", "fuzz_mat5_508", "fuzz_mat5_832", "npz_header_32TB",
        "pickle_boxes_int_typeerror", "pickle_ids_hugeint", "pickle_long_binput_memory",
    ],
)  # fmt: skip
def test_shared_faults(shared_faults, name):
    (path,) = (shared_faults / name / "input").iterdir()
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_proposals(path)
