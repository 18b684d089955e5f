import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection.data import comp4_path, read_coco_results, read_comp4, write_coco_results, write_comp4
from detection.types import Detections


def record(image_id, rows):
    """rows: (score, label, box)"""
    return Detections(
        image_id,
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in rows], np.float32),
        np.array([label for _, label, _ in rows], np.int64),
    )


TWO = [
    record("sub dir/img 1", [(2.5, 1, (0, 0, 10, 20)), (-0.25, 0, (0.5, 1.25, 3, 4))]),
    record('quote"ü', []),
]


def assert_equal(found, wanted):
    assert [one.image_id for one in found] == [one.image_id for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        for key in ("boxes", "scores", "labels"):
            got, want = getattr(one, key), getattr(other, key)
            assert got.dtype == want.dtype
            assert np.array_equal(got, want), key


def test_coco_rows_by_hand(tmp_path):
    write_coco_results(tmp_path / "d.json", TWO)
    assert json.loads((tmp_path / "d.json").read_text()) == [
        {"image_id": "sub dir/img 1", "category_id": 2, "bbox": [0, 0, 10, 20], "score": 2.5},
        {"image_id": "sub dir/img 1", "category_id": 1, "bbox": [0.5, 1.25, 2.5, 2.75], "score": -0.25},
    ]
    assert_equal(read_coco_results(tmp_path / "d.json", [one.image_id for one in TWO], 2), TWO)
    assert_equal(read_coco_results(tmp_path / "d.json"), TWO[:1])
    write_coco_results(tmp_path / "d.json", [])
    assert read_coco_results(tmp_path / "d.json") == []


def test_probabilities_stand_beside_scores(tmp_path):
    one = dataclasses.replace(TWO[0], probabilities=np.array([0.75, 0.125]))
    write_coco_results(tmp_path / "d.json", [one], np.array([False, True]))
    rows = json.loads((tmp_path / "d.json").read_text())
    assert [row["score"] for row in rows] == [2.5, -0.25]
    assert [row["probability"] for row in rows] == [0.75, 0.125]
    assert [row.get("calibrated") for row in rows] == [None, False]
    assert_equal(read_coco_results(tmp_path / "d.json"), TWO[:1])


def test_comp4_lines_by_hand(tmp_path):
    write_comp4(tmp_path, "test", TWO, ("cat", "a/b", "dog"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "comp4_det_test_a%2Fb.txt",
        "comp4_det_test_cat.txt",
        "comp4_det_test_dog.txt",
    ]
    assert comp4_path(tmp_path, "test", "cat").read_text() == "sub dir/img 1 -0.25 1.5 2.25 3.0 4.0\n"
    assert comp4_path(tmp_path, "test", "dog").read_text() == ""
    assert_equal(read_comp4(tmp_path, "test", ("cat", "a/b", "dog"), [one.image_id for one in TWO]), TWO)


# 0 or what a clipped box of any photo may hold; comp4's 1 + x keeps every bit down to 2^-29.
corners = st.floats(2**-29, 20000, width=32) | st.just(0.0)
rows = st.tuples(
    st.floats(-100, 100, width=32),
    st.integers(0, 2),
    st.tuples(*[corners] * 4).filter(lambda b: b[0] != b[2] and b[1] != b[3]),
)


@given(st.lists(st.lists(rows, max_size=4, unique_by=lambda row: row[0]), max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trips_are_bit_equal(tmp_path, images):
    written = []
    for index, content in enumerate(images):
        ordered = sorted(content, key=lambda row: -row[0])
        boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for _, _, (a, b, c, d) in ordered]
        written.append(
            record(f"i {index}", [(score, label, box) for (score, label, _), box in zip(ordered, boxes, strict=True)])
        )
    ids = [one.image_id for one in written]
    write_coco_results(tmp_path / "d.json", written)
    assert_equal(read_coco_results(tmp_path / "d.json", ids, 3), written)
    write_comp4(tmp_path, "test", written, "abc")
    assert_equal(read_comp4(tmp_path, "test", "abc", ids), written)


def test_boxes_at_the_ends_of_float32_come_back_from_coco(tmp_path):
    tiny, step = np.float32(1e-38), np.nextafter(np.float32(500), np.float32(600))
    one = record("a", [(1, 0, (tiny, 0, 500, 1)), (0.5, 0, (499.99997, 1e-20, step, 3e-20)), (0.1, 0, (0, 0, 1e30, 1))])
    write_coco_results(tmp_path / "d.json", [one])
    assert_equal(read_coco_results(tmp_path / "d.json"), [one])


def test_equal_scores_keep_the_files_order(tmp_path):
    one = record("a", [(1, 1, (0, 0, 1, 1)), (1, 0, (0, 0, 2, 2)), (1, 1, (0, 0, 3, 3))])
    write_coco_results(tmp_path / "d.json", [one])
    assert_equal(read_coco_results(tmp_path / "d.json"), [one])


def test_many_rows_of_many_images(tmp_path):
    rng = np.random.default_rng(0)
    many = []
    for index in range(50):
        boxes = np.sort(rng.random((400, 2, 2)) * 500, axis=1).reshape(400, 4).astype(np.float32)
        scores = np.sort(rng.normal(size=400).astype(np.float32))[::-1].copy()
        many.append(Detections(f"{index:06d}", boxes, scores, rng.integers(0, 20, 400)))
    write_coco_results(tmp_path / "d.json", many)
    found = read_coco_results(tmp_path / "d.json", class_count=20)
    assert_equal(found, many)


def test_other_tools_rows(tmp_path):
    (tmp_path / "d.json").write_text(
        '[{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "id": 1, "area": 12},'
        ' {"image_id": 7, "category_id": 1, "bbox": [1, 2, 5, 4], "score": 0.75}]'
    )
    assert_equal(
        read_coco_results(tmp_path / "d.json"), [record("7", [(0.75, 0, (1, 2, 6, 6)), (0.5, 0, (1, 2, 4, 6))])]
    )


GOOD = {"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bbox": [1, 2, 0, 4]}, "positive area"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, "3", 4]}, "bbox"),
        ({"bbox": [1, 2, 1e39, 4]}, "finite"),
        ({"score": None}, "score"),
        ({"score": float("nan")}, "finite"),
        ({"category_id": 0}, "class number of at least 1"),
        ({"category_id": 3}, "at most 2"),
        ({"category_id": True}, "category_id"),
        ({"image_id": "b"}, "expected an image of the split, got 'b'"),
        ({"image_id": None}, "image_id"),
    ],
)
def test_bad_coco_rows_are_named(tmp_path, change, match):
    (tmp_path / "d.json").write_text(json.dumps([GOOD, GOOD | change]))
    with pytest.raises(ValueError, match=rf"d\.json: row 2: .*{match}"):
        read_coco_results(tmp_path / "d.json", ["a"], 2)


@pytest.mark.parametrize(
    ("text", "match"),
    [("{}", "JSON list"), ("[1]", "row 1: .* got int"), ('[{"score": 1}]', "no image_id"), ("[", "JSON")],
)
def test_files_that_are_no_coco_results(tmp_path, text, match):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(ValueError, match=rf"d\.json:.*{match}"):
        read_coco_results(tmp_path / "d.json")


@pytest.mark.parametrize("line", ["a 1 2 3 4", "a x 1 1 2 2", "a 1 1 1 nan 2", "a 1 5 5 3 9", "b 1 1 1 2 2"])
def test_bad_comp4_lines_are_named(tmp_path, line):
    comp4_path(tmp_path, "test", "cat").write_text(f"a 1 1 1 2 2\n\n{line}\n")
    with pytest.raises(ValueError, match=r"comp4_det_test_cat\.txt: line 3"):
        read_comp4(tmp_path, "test", ["cat"], ["a"])


def test_a_class_without_a_comp4_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_comp4(tmp_path, "test", ["cat"])


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    bad = record("a", [(float("inf"), 0, (0, 0, 1, 1))])
    with pytest.raises(ValueError, match="image 'a': expected finite"):
        write_coco_results(tmp_path / "d.json", [bad])
    with pytest.raises(ValueError, match="image 'a': expected finite"):
        write_comp4(tmp_path, "test", [bad], ["cat"])
    with pytest.raises(ValueError, match="labels below 1"):
        write_comp4(tmp_path, "test", TWO, ["cat"])
    assert list(tmp_path.iterdir()) == []
