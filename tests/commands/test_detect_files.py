import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from detection.commands.detect_files import detect_files
from detection.data import DataError, read_image, read_video, write_video
from detection.detector import Detector
from detection.pipeline.work import Work


@pytest.fixture
def photos(shapes, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("test1", "test2"):
        shutil.copyfile(shapes / "VOC2007/JPEGImages" / f"{name}.jpg", folder / f"{name}.jpg")
    return folder


@pytest.fixture
def work():
    return Work(console=Console(file=io.StringIO()))


def test_a_folder_and_a_broken_image(finished, photos, tmp_path, work):
    (photos / "broken.jpg").write_bytes((photos / "test1.jpg").read_bytes()[:900])
    found = detect_files(finished / "detector", [photos], tmp_path / "out", -0.5, work)
    ids = [(photos / name).as_posix() for name in ("test1.jpg", "test2.jpg")]
    assert [one.image_id for one in found] == ids
    assert [one.file for one in work.problems] == [str(photos / "broken.jpg")]
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [row["image_id"] for row in rows] == [
        one for one, record in zip(ids, found, strict=True) for _ in record.labels
    ]
    assert (tmp_path / "out" / "classes.txt").read_text() == "box\ndisc\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "classes.txt", "detections.json", "test1.jpg", "test2.jpg",
    }  # fmt: skip
    assert read_image(tmp_path / "out" / "test1.jpg").shape == read_image(photos / "test1.jpg").shape


def test_it_equals_the_detector(finished, photos, tmp_path, work):
    path = photos / "test1.jpg"
    (found,) = detect_files(finished / "detector", [str(path)], tmp_path / "out", 0.0, work)
    direct = Detector.load(finished / "detector").detect(path)
    assert found.boxes.tobytes() == direct.boxes.tobytes()
    pooled = dataclasses.replace(work, workers=2, threads=2)
    again = detect_files(finished / "detector", [photos, path], tmp_path / "out", 0.0, pooled)
    assert [one.image_id for one in again] == [path.as_posix(), (photos / "test2.jpg").as_posix()]
    assert again[0].scores.tobytes() == found.scores.tobytes()


def test_two_files_of_one_name(finished, photos, tmp_path, work):
    other = shutil.copytree(photos, tmp_path / "other")
    detect_files(finished / "detector", [photos / "test1.jpg", other / "test1.jpg"], tmp_path / "out", 0.0, work)
    drawn = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert len(drawn) == 2
    assert all(name.endswith("test1.jpg.jpg") for name in drawn)


def test_a_video_and_a_broken_one(finished, photos, tmp_path, work):
    frames = [read_image(photos / f"test{n}.jpg")[:100, :160] for n in (1, 2, 1)]
    write_video(tmp_path / "clip.avi", frames, 10.0)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    paths = [tmp_path / "broken.mp4", tmp_path / "clip.avi", photos / "test2.jpg"]
    found = detect_files(finished / "detector", paths, tmp_path / "out", -0.5, work)
    clip = (tmp_path / "clip.avi").as_posix()
    assert [one.image_id for one in found] == [(photos / "test2.jpg").as_posix(), *(f"{clip}#{n}" for n in range(3))]
    drawn = list(read_video(tmp_path / "out" / "clip.mp4"))
    assert [one.shape for one in drawn] == [(100, 160, 3)] * 3
    assert [one.file for one in work.problems] == [str(tmp_path / "broken.mp4")]
    assert json.loads((tmp_path / "out" / "detections.json").read_text())


def test_originals_are_not_replaced(finished, photos, work):
    before = (photos / "test1.jpg").read_bytes()
    with pytest.raises(ValueError, match=r"photos: expected another folder .* would replace .*test1\.jpg"):
        detect_files(finished / "detector", [photos], photos, 0.0, work)
    assert (photos / "test1.jpg").read_bytes() == before


def test_a_path_that_is_not_there(finished, photos, tmp_path, work):
    with pytest.raises(DataError, match="nowhere"):
        detect_files(finished / "detector", [photos, tmp_path / "nowhere"], tmp_path / "out", 0.0, work)
    assert not (tmp_path / "out").exists()


def test_another_detector_in_the_same_folder(finished, photos, tmp_path, work):
    folder = shutil.copytree(finished / "detector", tmp_path / "detector")
    (first,) = detect_files(folder, [photos / "test1.jpg"], tmp_path / "out", 0.0, work)
    detector = Detector.load(folder)
    svms = dataclasses.replace(detector.svms, biases=detector.svms.biases + np.float32(1))
    dataclasses.replace(detector, svms=svms).save(folder)
    (second,) = detect_files(folder, [photos / "test1.jpg"], tmp_path / "out", 0.0, work)
    assert second.scores[0] == pytest.approx(first.scores[0] + 1, abs=1e-5)
