import numpy as np
import pytest

from detection.data import read_boxes
from detection.data.box_files import read_csv


def test_users_boxes(tmp_path):
    (tmp_path / "b.json").write_text('{"img 1": [[1, 2, 3.5, 4], [0, 0, 9, 9]], "none": []}')
    found = read_boxes(tmp_path / "b.json")
    assert {key: value.tolist() for key, value in found.items()} == {
        "img 1": [[1, 2, 3.5, 4], [0, 0, 9, 9]],
        "none": [],
    }
    assert all(value.dtype == np.float32 and value.shape[1] == 4 for value in found.values())
    for header in ("", "image_id,x1,y1,x2,y2\r\n"):
        (tmp_path / "b.csv").write_text(
            f'\ufeff{header}"a,b",1,2,3.5,4\n\nc, 0,0,9,9\n"a,b",0,0,1,1\n', encoding="utf-8"
        )
        assert {key: value.tolist() for key, value in read_boxes(tmp_path / "b.csv").items()} == {
            "a,b": [[1, 2, 3.5, 4], [0, 0, 1, 1]],
            "c": [[0, 0, 9, 9]],
        }


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[]", "got list"),
        ("{", "malformed JSON"),
        ('{"a": 1}', "image 'a': expected a list"),
        ('{"a": [[1, 2, 3, 4], [1, 2, 3]]}', "image 'a', box 2"),
        ('{"a": [[3, 2, 1, 4]]}', "x1 < x2"),
        ('{"a": [[0, 0, 1, 1], [1, 2, NaN, 4]]}', "image 'a', box 2: expected finite"),
        ('{"a": [[-Infinity, 2, 3, 4]]}', "image 'a', box 1: expected finite"),
        ('{"a": [[1, 2, 1e39, 4]]}', "image 'a', box 1: expected finite"),
        ('{"a": [[1, 2, "3", 4]]}', "box 1"),
        ('{"a": [], "a": []}', "'a' more than once"),
    ],
)
def test_bad_json_boxes_are_named(tmp_path, text, match):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(ValueError, match=rf"b\.json:.*{match}"):
        read_boxes(tmp_path / "b.json")


@pytest.mark.parametrize("line", ["a,1,2,3", "a,1,2,3,x", "a,3,2,1,4", "a,1,2,inf,4", "image_id,x1,y1,x2,y2"])
def test_bad_csv_boxes_are_named(tmp_path, line):
    (tmp_path / "b.csv").write_text(f"a,1,2,3,4\n{line}\n")
    with pytest.raises(ValueError, match=r"b\.csv: line 2: expected"):
        read_boxes(tmp_path / "b.csv")


def test_a_line_without_one_of_its_numbers_is_no_line_without_numbers(tmp_path):
    (tmp_path / "b.csv").write_text("a,1,2,3,4\nb, ,,,\nc\nd,1,2,,4\n")
    lines = read_csv(tmp_path / "b.csv")
    assert [next(lines)[1:] for _ in range(3)] == [("a", [1, 2, 3, 4]), ("b", []), ("c", [])]
    with pytest.raises(ValueError, match=r"b\.csv: line 4: expected image_id,x1,y1,x2,y2, got 'd,1,2,,4'"):
        next(lines)
