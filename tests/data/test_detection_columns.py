import numpy as np
import pytest

from detection.data.detection_columns import DetectionColumns, read_columns, write_columns
from detection.types import Detections


def record(image_id, scores, label=0):
    boxes = np.array([[place, 0, place + 5.25, 8] for place in range(len(scores))], np.float32).reshape(-1, 4)
    return Detections(image_id, boxes, np.array(scores, np.float32), np.full(len(scores), label))


FOUND = [record("b", [0.5, 0.1], 3), record("a", []), record('odd\n"ü', [0.25])]


def as_plain(records):
    return [(one.image_id, one.boxes.tolist(), one.scores.tolist(), one.labels.tolist()) for one in records]


def test_come_back_as_they_were_in_any_order(tmp_path):
    write_columns(tmp_path / "d.safetensors", FOUND, "key")
    columns = read_columns(tmp_path / "d.safetensors", "key")
    assert as_plain(columns.records([one.image_id for one in FOUND])) == as_plain(FOUND)
    assert as_plain(columns.records(["new", "a", "b"])) == as_plain([record("new", []), FOUND[1], FOUND[0]])
    assert columns.images().tolist() == [0, 0, 2]


def test_no_image(tmp_path):
    write_columns(tmp_path / "d.safetensors", [], "key")
    assert as_plain(read_columns(tmp_path / "d.safetensors", "key").records(["a"])) == as_plain([record("a", [])])
    assert DetectionColumns.of([]).boxes.shape == (0, 4)


def test_another_key_an_absent_and_a_damaged_file(tmp_path):
    path = tmp_path / "d.safetensors"
    assert read_columns(path, "key") is None
    write_columns(path, FOUND, "key")
    assert read_columns(path, "other") is None
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"d\.safetensors: damaged"):
        read_columns(path, "key")
