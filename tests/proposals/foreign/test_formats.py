import json
import pickle

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.data.foreign.child import ForeignReader
from detection.data.foreign.mat import read_mat
from detection.proposals.foreign import BoxConvention, read_proposals, write_proposals
from detection.proposals.foreign.formats import MAT_CELLS, format_of
from detection.proposals.foreign.proposal_files import CONVENTIONS

PROPOSALS = {
    "000005": np.float32([[0, 0, 10, 20], [3.5, 4.25, 8, 9]]),
    'a b, "c"/d': np.float32([[1, 2, 3, 4]]),
    "none": np.zeros((0, 4), np.float32),
    "ünïcode 犬": np.float32([[0.1, 0.2, 1e5, 3e-5]]),
}
FORMATS = ("npz", "json", "csv", "mat")


def half_open(file):
    boxes = [file.convention.to_half_open(one).astype(np.float32) for one in file.boxes]
    return dict(zip(file.image_ids, boxes, strict=True))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for key, boxes in expected.items():
        assert found[key].shape == boxes.shape
        assert np.array_equal(found[key], boxes), key


@pytest.mark.parametrize("kind", FORMATS)
def test_round_trip(tmp_path, kind):
    path = tmp_path / f"proposals.{kind}"
    write_proposals(path, PROPOSALS)
    file = read_proposals(path)
    assert file.format == kind
    assert_same(half_open(file), PROPOSALS)


IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
# Multiples of 2^-8 px: exact in every convention. Any float32 is exact in the package's own.
EXACT = st.integers(-(2**20), 2**20).map(lambda value: value / 256)
ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)


def sets(numbers):
    row = st.tuples(numbers, numbers, numbers, numbers)
    boxes = st.lists(row, max_size=4).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))
    # Ids of spaces alone are no ids in a CSV file.
    return st.dictionaries(IDS.filter(lambda one: one.strip()), boxes, max_size=4)


@pytest.mark.parametrize("kind", ["npz", "json", "csv"])
@given(proposals=sets(ANY))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_round_trip_of_anything(tmp_path, kind, proposals):
    path = tmp_path / f"proposals.{kind}"
    write_proposals(path, proposals)
    assert_same(half_open(read_proposals(path)), proposals)


@pytest.mark.parametrize("kind", ["npz", "json", "csv"])
@given(proposals=sets(EXACT), convention=st.sampled_from(CONVENTIONS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_round_trip_in_any_convention(tmp_path, kind, proposals, convention):
    check_round_trip(tmp_path / f"proposals.{kind}", proposals, convention)


@given(proposals=sets(EXACT), convention=st.sampled_from(CONVENTIONS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
def test_round_trip_of_mat_in_any_convention(tmp_path, proposals, convention):
    """Fewer, for each starts a process."""
    check_round_trip(tmp_path / "proposals.mat", proposals, convention)


def check_round_trip(path, proposals, convention):
    write_proposals(path, proposals, convention=convention)
    file = read_proposals(path)
    found = {key: convention.to_half_open(one) for key, one in zip(file.image_ids, file.boxes, strict=True)}
    assert_same({key: one.astype(np.float32) for key, one in found.items()}, proposals)


def test_equal_proposals_give_equal_bytes_or_at_least_equal_proposals(tmp_path):
    for kind in ("json", "csv"):
        write_proposals(tmp_path / f"a.{kind}", PROPOSALS)
        write_proposals(tmp_path / f"b.{kind}", PROPOSALS)
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_mat_is_what_fast_rcnn_reads(tmp_path):
    """lib/datasets/pascal_voc.py: loadmat(...)['boxes'].ravel()[i][:, (1, 0, 3, 2)] - 1, 0-based and inclusive."""
    path = tmp_path / "voc_2007_trainval.mat"
    write_proposals(path, {"000005": np.float32([[10, 20, 40, 60]]), "000007": np.zeros((0, 4), np.float32)})
    content = scipy.io.loadmat(path)
    boxes = content["boxes"].ravel()
    assert len(boxes) == 2
    assert (boxes[0][:, (1, 0, 3, 2)] - 1).tolist() == [[10, 20, 39, 59]]
    assert boxes[1].shape == (0, 4)
    assert [str(one[0]) for one in content["images"].ravel()] == ["000005", "000007"]


def cells(values, shape):
    found = np.empty(shape, object)
    found.ravel()[:] = values
    for index, one in enumerate(values):
        found[np.unravel_index(index, shape)] = one
    return found


def test_rcnn_mat(tmp_path):
    path = tmp_path / "old.mat"
    boxes = cells([np.uint16([[21, 11, 60, 40], [1, 1, 5, 6]]), np.zeros((0, 0))], (1, 2))
    scipy.io.savemat(path, {"boxes": boxes, "images": cells(["000005", "000007"], (2, 1)), "other": 3})
    file = read_proposals(path)
    assert file.image_ids == ("000005", "000007")
    assert file.convention == BoxConvention("yxyx", 1, "inclusive") == MAT_CELLS
    assert_same(half_open(file), {"000005": np.float32([[10, 20, 40, 60], [0, 0, 6, 5]]), "000007": np.zeros((0, 4))})


def test_one_reader_for_several_calls(tmp_path):
    write_proposals(tmp_path / "a.mat", PROPOSALS)
    with ForeignReader() as reader:
        first = read_proposals(tmp_path / "a.mat", reader=reader)
        process = reader._process
        second = read_proposals(tmp_path / "a.mat", reader=reader)
        assert reader._process is process
        assert process.poll() is None
    assert_same(half_open(first), half_open(second))


def test_mat_without_images_has_no_ids(tmp_path):
    path = tmp_path / "old.mat"
    scipy.io.savemat(path, {"boxes": cells([np.ones((2, 4)), np.ones((3, 4))], (2, 1))})
    file = read_proposals(path)
    assert file.image_ids is None
    assert [len(one) for one in file.boxes] == [2, 3]
    scipy.io.savemat(path, {"boxes": cells([np.ones((2, 4)), np.ones((3, 3))], (2, 1))})
    with pytest.raises(ValueError, match=r"old\.mat: cell 2: expected rows of four numbers"):
        read_proposals(path)


def test_pkl_of_a_list_has_no_ids(tmp_path):
    """One array an image, as MMDetection dumps them; by the fifth number, if there is one."""
    path = tmp_path / "a.pkl"
    scored = np.float32([[0, 0, 5, 5, 0.2], [1, 2, 8, 9, 0.7]])
    path.write_bytes(pickle.dumps([scored, np.zeros((0, 5), np.float32), [[3, 4, 5, 6], [0, 0, 2, 2]]]))
    found = read_proposals(path)
    assert found.image_ids is None
    assert found.convention == BoxConvention("xyxy", 0, "exclusive")
    assert [one.tolist() for one in found.boxes] == [
        [[1, 2, 8, 9], [0, 0, 5, 5]], [], [[3, 4, 5, 6], [0, 0, 2, 2]],
    ]  # fmt: skip
    path.write_bytes(pickle.dumps([scored, np.zeros((2, 3), np.float32)]))
    with pytest.raises(ValueError, match=r"a\.pkl: list 2: expected rows of four numbers \(a fifth is a score\)"):
        read_proposals(path)


def test_one_images_matrix(shared_data):
    file = read_proposals(shared_data / "selective-search-matlab" / "000004_boxes.mat")
    assert file.image_ids == ("000004",)
    assert half_open(file)["000004"].shape == (2888, 4)
    assert half_open(file)["000004"].max(axis=0).tolist() == [499, 405, 500, 406]


def test_a_folder_of_files(tmp_path):
    for name in ("b", "a"):
        scipy.io.savemat(tmp_path / f"{name}_boxes.mat", {"boxes": np.uint16([[0, 0, 9, 9]])})
    (tmp_path / "notes.txt").write_text("not proposals")
    assert read_proposals(tmp_path).image_ids == ("a", "b")
    write_proposals(tmp_path / "c.npz", PROPOSALS)
    with pytest.raises(ValueError, match=r"c.npz: expected image ids and boxes of order xyxy, base 0, end inclusive"):
        read_proposals(tmp_path)
    assert read_proposals(tmp_path, "mat").image_ids == ("a", "b")
    with pytest.raises(FileNotFoundError, match=r"expected files named .json, found none"):
        read_proposals(tmp_path, "json")


def write_73(path, boxes, images=None):
    """A file as MATLAB's save -v7.3 writes it: references to transposed arrays, text as UTF-16 numbers."""
    h5py = pytest.importorskip("h5py", reason="the optional package h5py is absent")
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")

        def keep(name, values):
            references = np.empty((len(values), 1), h5py.ref_dtype)
            for index, value in enumerate(values):
                item = group.create_dataset(f"{name}{index}", data=value)
                references[index, 0] = item.ref
                if value.size == 0 or value.shape == (2,):
                    item.attrs["MATLAB_empty"] = np.uint8(1)
            file.create_dataset(name, data=references).attrs["MATLAB_class"] = np.bytes_("cell")

        if isinstance(boxes, np.ndarray):
            file["boxes"] = boxes.T
        else:
            keep("boxes", [np.uint64([0, 0]) if len(one) == 0 else one.T for one in boxes])
        if images is not None:
            keep("images", [np.array([[ord(letter)] for letter in name], np.uint16) for name in images])
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def test_mat_73(tmp_path):
    path = tmp_path / "old.mat"
    write_73(path, [np.float64([[21, 11, 60, 40], [1, 1, 5, 6]]), np.zeros((0, 4))], ["000005", "ü7"])
    file = read_proposals(path)
    assert file.image_ids == ("000005", "ü7")
    assert_same(half_open(file), {"000005": np.float32([[10, 20, 40, 60], [0, 0, 6, 5]]), "ü7": np.zeros((0, 4))})


def test_mat_73_of_one_image(tmp_path):
    path = tmp_path / "000004_boxes.mat"
    write_73(path, np.uint16([[0, 0, 9, 19]]))
    assert half_open(read_proposals(path))["000004"].tolist() == [[0, 0, 10, 20]]


def test_mat_73_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    path = tmp_path / "old.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"old.mat: expected the package h5py, .*pip install 'sppnet\[mat73\]'"):
        read_mat(path)


def test_a_cut_73_file_is_named(tmp_path):
    path = tmp_path / "old.mat"
    write_73(path, [np.ones((3, 4))])
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"old.mat: expected a MATLAB v7.3 file"):
        read_proposals(path)


def test_coco_results_are_x_y_width_height(tmp_path):
    path = tmp_path / "proposals.json"
    rows = [
        {"image_id": 9, "bbox": [1, 2, 3, 4], "score": 0.1},
        {"image_id": 9, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": "x", "bbox": [0, 0, 5, 5], "score": 0.5},
    ]
    path.write_text(json.dumps(rows))
    assert_same(
        half_open(read_proposals(path)),
        {"9": np.float32([[10, 20, 40, 60], [1, 2, 4, 6]]), "x": np.float32([[0, 0, 5, 5]])},
    )
    assert not read_proposals(path).numbered
    path.write_text(json.dumps(rows[:2]))
    assert read_proposals(path).numbered


def test_csv_by_hand(tmp_path):
    write_proposals(tmp_path / "a.csv", {"a,b": np.float32([[1, 2, 3.5, 4]]), "none": np.zeros((0, 4), np.float32)})
    assert (tmp_path / "a.csv").read_bytes() == b'image_id,x1,y1,x2,y2\r\n"a,b",1.0,2.0,3.5,4.0\r\nnone,,,,\r\n'


def test_csv_of_other_programs(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("\ufefffile,left,top,right,bottom,conf\r\na,1,2,3,4,0.2\r\n\r\na,5,6,7,8,0.8\r\nb\r\n", "utf-8")
    file = read_proposals(path)
    assert_same(half_open(file), {"a": np.float32([[5, 6, 7, 8], [1, 2, 3, 4]]), "b": np.zeros((0, 4))})


def test_npz_with_an_array_an_image(tmp_path):
    path = tmp_path / "boxes.npz"
    np.savez(path, **{"folder/1": np.int32([[1, 2, 3, 4]]), "2": np.zeros((0, 4))})
    assert_same(half_open(read_proposals(path)), {"folder/1": np.float32([[1, 2, 3, 4]]), "2": np.zeros((0, 4))})


def test_pickled_arrays_in_npz_are_not_loaded(tmp_path):
    path = tmp_path / "boxes.npz"
    np.savez(path, a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"boxes.npz: expected an .npz of numbers"):
        read_proposals(path)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.json", "{", "a.json:1: malformed JSON"),
        ("a.json", "3", "expected an object at the top level"),
        ("a.json", '{"x": [[1, 2, 3]]}', "image 'x': expected rows of four numbers"),
        ("a.json", '{"x": [[1, 2, 3, "4"]]}', "image 'x': expected rows of four numbers"),
        ("a.json", '{"x": [[1, 2, 3, 4], [1]]}', "image 'x': expected rows of four numbers"),
        ("a.json", '{"x": null}', "image 'x': expected rows of four numbers"),
        ("a.json", '{"x": [], "x": []}', "the key 'x' more than once"),
        ("a.json", '[{"image_id": 1}]', "row 1: expected an object with image_id and bbox"),
        ("a.json", "[" * 100000, "a.json:1: malformed JSON"),
        ("a.csv", "a,1,2,3,4\nb,1,2,x,4\n", "a.csv: line 2: expected image_id,x1,y1,x2,y2"),
        ("a.csv", "a,1,2,3\n", "a.csv: line 1: expected four numbers and perhaps a score, got 3"),
        ("a.csv", "a,1,2,3,4\nb,1,2,3,4,5\na,1,2,3,4,5\n", "image 'a': expected rows of four numbers"),
        ("a.npz", "no zip", "a.npz: expected an .npz"),
        ("a.mat", "no mat", "a.mat: expected a MATLAB file"),
        ("a.mat", "", "a.mat: expected a MATLAB file"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, text, fault):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=fault):
        read_proposals(path)


def test_mat_of_something_else_and_a_missing_file(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": 1, "y": 2})
    with pytest.raises(ValueError, match="expected a variable 'boxes', got x, y"):
        read_proposals(path)
    with pytest.raises(FileNotFoundError, match=r"b.mat: expected a file of proposals, found none"):
        read_proposals(tmp_path / "b.mat")


def test_a_npz_whose_parts_do_not_agree(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, image_ids=np.array(["a"]), offsets=np.array([0, 3]), boxes=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"expected image_ids \(N,\) text, offsets"):
        read_proposals(path)


def test_writers_refuse(tmp_path):
    with pytest.raises(ValueError, match="expected a format out of mat, json, csv, npz, got pkl"):
        write_proposals(tmp_path / "a.pkl", {})
    with pytest.raises(ValueError, match="expected float32 boxes of shape"):
        write_proposals(tmp_path / "a.npz", {"a": np.zeros((1, 4))})
    with pytest.raises(ValueError, match="got an empty one"):
        write_proposals(tmp_path / "a.npz", {"": np.zeros((1, 4), np.float32)})
    with pytest.raises(ValueError, match="an id that UTF-8 can write"):
        write_proposals(tmp_path / "a.json", {"\ud800": np.zeros((1, 4), np.float32)})
    with pytest.raises(ValueError, match=r"expected a file named \.mat \.pkl"):
        format_of("proposals.txt")
    assert list(tmp_path.iterdir()) == []
