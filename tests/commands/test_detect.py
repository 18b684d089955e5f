import dataclasses
import io
import json
import os
import shutil

import numpy as np
import pytest
from rich.console import Console

from detection.commands.detect import detect_files
from detection.commands.found_files import Least
from detection.data import DataError, read_dataset, read_image, read_video, video_rate, write_video
from detection.detector import Detector
from detection.pipeline.work import Work, default_workers
from detection.storage import notices, read_csv

EVERYTHING = Least(margin=-np.inf)
FILES = {"classes.txt", "counts.csv", "detections.csv", "detections.json"}


@pytest.fixture
def detect(load_tool, finished, tmp_path):
    def detect_it(*arguments):
        model = ["--model", str(finished / "detector"), "--out", str(tmp_path / "out"), "--workers=1"]
        return load_tool("detect").main([*model, *map(str, arguments)])

    return detect_it


def test_an_image(detect, finished, shapes, tmp_path, capsys):
    image, detector = shapes / "VOC2007/JPEGImages/test1.jpg", Detector.load(finished / "detector")
    assert detect(image) == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    assert {row["image_id"] for row in rows} == {image.as_posix()}
    assert all(0 <= row["probability"] <= 1 for row in rows)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "test1.jpg"}
    # What is listed, counted and drawn is what reaches its class's threshold.
    shown = detector.shown(detector.detect(image))
    assert f"1 images, {len(shown.labels)} detections that reach their class's threshold" in capsys.readouterr().out
    listed = read_csv(tmp_path / "out/detections.csv")
    assert listed[0] == ["photo", "class", "probability", "calibrated", "margin", "x1", "y1", "x2", "y2"]
    assert [row[:2] for row in listed[1:]] == [[image.as_posix(), detector.classes[label]] for label in shown.labels]
    np.testing.assert_allclose([float(row[2]) for row in listed[1:]], shown.probabilities, atol=1e-4)
    np.testing.assert_allclose(
        np.array([row[4:] for row in listed[1:]], float), np.c_[shown.scores, shown.boxes], atol=1e-2
    )
    counts = np.bincount(shown.labels, minlength=2)
    assert read_csv(tmp_path / "out/counts.csv") == [["photo", "box", "disc"], [image.as_posix(), *map(str, counts)]]
    drawn = read_image(tmp_path / "out/test1.jpg").astype(int)
    assert np.abs(drawn - read_image(image)).max() > 100
    assert detect(image, "--margin=50") == 0
    assert np.abs(read_image(tmp_path / "out/test1.jpg").astype(int) - read_image(image)).mean() < 3
    assert len(read_csv(tmp_path / "out/detections.csv")) == 1


def test_thresholds_of_the_call(detect, shapes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    image = shapes / "VOC2007/JPEGImages/test1.jpg"
    assert detect(image) == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    for option, key, least in (("--threshold=0.2", "probability", 0.2), ("--margin=-1", "score", -1)):
        assert detect(image, option) == 0
        expected = sum(row[key] >= least for row in rows)
        assert len(read_csv(tmp_path / "out/detections.csv")) == 1 + expected
    capsys.readouterr()
    assert detect(image, "--min_score=-1") == 0
    assert "--min_score is --margin now" in capsys.readouterr().err
    assert len(read_csv(tmp_path / "out/detections.csv")) == 1 + expected
    for wrong in (("--threshold=1.5",), ("--threshold=0.5", "--margin=0")):
        assert detect(image, *wrong) == 2
        assert "error: --threshold" in capsys.readouterr().err


def test_a_detector_that_was_not_calibrated(finished, photos, tmp_path, work, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_said", set())
    dataclasses.replace(Detector.load(finished / "detector"), calibration=None).save(tmp_path / "detector")
    (found,) = detect_files(tmp_path / "detector", [photos / "test1.jpg"], tmp_path / "out", work, EVERYTHING)
    assert "was not calibrated: its probabilities are rough" in caplog.text
    assert ((found.probabilities > 0) & (found.probabilities < 1)).all()
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    assert all(row["calibrated"] is False for row in rows)
    assert {row[3] for row in read_csv(tmp_path / "out/detections.csv")[1:]} == {"no"}


@pytest.mark.parametrize("format", ["voc", "yolo", "coco", "folder"])
def test_draft_labels_are_a_data_set(finished, photos, tmp_path, work, format):
    (photos / "more").mkdir()
    shutil.move(photos / "test2.jpg", photos / "more/test2.jpg")
    least = Least(margin=-0.9)
    found = detect_files(finished / "detector", [photos], tmp_path / "out", work, least, labels=format)
    drafts = read_dataset(tmp_path / f"out/labels-{format}")
    by_photo = {one.image_id: one for one in found}
    assert {(photos / f"{one.image_id}.jpg").as_posix() for one in drafts.images} == set(by_photo)
    for draft in drafts.images:
        boxes = by_photo[(photos / f"{draft.image_id}.jpg").as_posix()].boxes
        np.testing.assert_allclose(draft.boxes, boxes, atol=1e-3)
    with pytest.raises(FileExistsError, match="may have been corrected"):
        detect_files(finished / "detector", [photos], tmp_path / "out", work, least, labels=format)


def test_subfolders_are_kept(finished, photos, tmp_path, work):
    shutil.copytree(photos, photos / "deep/er")
    shutil.copyfile(photos / "test1.jpg", photos / "test1.png")
    out = photos / "found"
    for _ in range(2):  # what lies in OUT is no photo
        found = detect_files(finished / "detector", [photos], out, work)
        assert len(found) == 5
    drawn = {path.relative_to(out).as_posix() for path in out.rglob("*.jpg")}
    assert drawn == {"test1.jpg.jpg", "test1.png.jpg", "test2.jpg", "deep/er/test1.jpg", "deep/er/test2.jpg"}


def test_a_folder_with_a_broken_image(detect, shapes, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    source = shapes / "VOC2007/JPEGImages/test1.jpg"
    shutil.copyfile(source, photos / "good.jpg")
    (photos / "bad.jpg").write_bytes(source.read_bytes()[:-3000])
    assert detect(photos) == 1
    output = capsys.readouterr()
    assert "1 images" in output.out
    assert f"left out: {photos / 'bad.jpg'}" in output.err
    assert detect(photos, "--strict") == 2
    assert f"error: {photos / 'bad.jpg'}: unreadable image" in capsys.readouterr().err


def test_a_video(detect, shapes, tmp_path):
    frames = [read_image(shapes / "VOC2007/JPEGImages" / f"test{n}.jpg")[:100, :160] for n in (1, 2)]
    write_video(tmp_path / "clip.avi", frames, 5.0)
    assert detect(tmp_path / "clip.avi") == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    assert {row["image_id"].rpartition("#")[2] for row in rows} == {"0", "1"}
    assert (tmp_path / "out/clip.mp4").stat().st_size > 0


def test_what_is_not_there(detect, load_tool, tmp_path, capsys):
    assert detect(tmp_path / "none.jpg") == 2
    assert "none.jpg" in capsys.readouterr().err
    assert load_tool("detect").main([f"--model={tmp_path}", "x.jpg"]) == 2
    assert "no trained detector here" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        load_tool("detect").main(["--model"])
    assert end.value.code == 2


def test_workers_and_threads(load_tool, shapes, tmp_path, monkeypatch, capsys):
    """Several photos are worked on at a time; a single one has all processors for itself."""
    tool, calls = load_tool("detect"), []
    monkeypatch.setattr(tool, "detect_files", lambda *arguments: calls.append(arguments[3]) or [])
    monkeypatch.setattr(tool, "default_workers", lambda: 4)
    folder = shapes / "VOC2007/JPEGImages"
    cases = {
        (str(folder / "test1.jpg"),): (1, 4),
        (str(folder),): (4, 1),
        (str(folder / "test1.jpg"), str(folder / "test2.jpg")): (4, 1),
        ("clip.mp4",): (4, 1),
        (str(folder), "--workers=2"): (2, 2),
        (str(folder), "--workers=3", "--threads=5"): (3, 5),
        (str(folder), "--workers=9"): (9, 1),
    }
    for arguments in cases:
        assert tool.main(["--model=x", *arguments]) == 0
    assert [(work.workers, work.threads) for work in calls] == list(cases.values())


@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (3, 3), (4, 4), (5, 4), (64, 4)])
def test_workers_are_the_processors_at_most_four(monkeypatch, processors, workers):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(processors)), raising=False)
    assert default_workers() == workers


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
    found = detect_files(finished / "detector", [photos], tmp_path / "out", work, EVERYTHING)
    ids = [(photos / name).as_posix() for name in ("test1.jpg", "test2.jpg")]
    assert [one.image_id for one in found] == ids
    assert [one.file for one in work.problems] == [str(photos / "broken.jpg")]
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [row["image_id"] for row in rows] == [
        one for one, record in zip(ids, found, strict=True) for _ in record.labels
    ]
    assert (tmp_path / "out" / "classes.txt").read_text() == "box\ndisc\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "test1.jpg", "test2.jpg"}
    assert read_image(tmp_path / "out" / "test1.jpg").shape == read_image(photos / "test1.jpg").shape


def test_it_equals_the_detector(finished, photos, tmp_path, work):
    path = photos / "test1.jpg"
    (found,) = detect_files(finished / "detector", [str(path)], tmp_path / "out", work, EVERYTHING)
    direct = Detector.load(finished / "detector").detect(path)
    assert found.boxes.tobytes() == direct.boxes.tobytes()
    pooled = dataclasses.replace(work, workers=2, threads=2)
    again = detect_files(finished / "detector", [photos, path], tmp_path / "out", pooled, EVERYTHING)
    assert [one.image_id for one in again] == [path.as_posix(), (photos / "test2.jpg").as_posix()]
    assert again[0].scores.tobytes() == found.scores.tobytes()


def test_two_files_of_one_name(finished, photos, tmp_path, work):
    other = shutil.copytree(photos, tmp_path / "other")
    detect_files(finished / "detector", [photos / "test1.jpg", other / "test1.jpg"], tmp_path / "out", work)
    drawn = sorted(path.name for path in (tmp_path / "out").glob("*.jpg"))
    assert len(drawn) == 2
    assert all(name.endswith("test1.jpg.jpg") for name in drawn)


def test_a_video_and_a_broken_one(finished, photos, tmp_path, work):
    frames = [read_image(photos / f"test{n}.jpg")[:100, :160] for n in (1, 2, 1)]
    write_video(tmp_path / "clip.avi", frames, 10.0)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    paths = [tmp_path / "broken.mp4", tmp_path / "clip.avi", photos / "test2.jpg"]
    found = detect_files(finished / "detector", paths, tmp_path / "out", work, EVERYTHING)
    clip = (tmp_path / "clip.avi").as_posix()
    assert [one.image_id for one in found] == [(photos / "test2.jpg").as_posix(), *(f"{clip}#{n}" for n in range(3))]
    drawn = list(read_video(tmp_path / "out" / "clip.mp4"))
    assert [one.shape for one in drawn] == [(100, 160, 3)] * 3
    assert [one.file for one in work.problems] == [str(tmp_path / "broken.mp4")]
    assert json.loads((tmp_path / "out" / "detections.json").read_text())


def test_originals_are_not_replaced(finished, photos, work):
    before = (photos / "test1.jpg").read_bytes()
    with pytest.raises(ValueError, match=r"photos: expected another folder .* would replace .*test1\.jpg"):
        detect_files(finished / "detector", [photos], photos, work)
    assert (photos / "test1.jpg").read_bytes() == before


def test_a_path_that_is_not_there(finished, photos, tmp_path, work):
    with pytest.raises(DataError, match="nowhere"):
        detect_files(finished / "detector", [photos, tmp_path / "nowhere"], tmp_path / "out", work)
    assert not (tmp_path / "out").exists()


def test_another_detector_in_the_same_folder(finished, photos, tmp_path, work):
    folder = shutil.copytree(finished / "detector", tmp_path / "detector")
    (first,) = detect_files(folder, [photos / "test1.jpg"], tmp_path / "out", work, EVERYTHING)
    detector = Detector.load(folder)
    svms = dataclasses.replace(detector.svms, biases=detector.svms.biases + np.float32(1))
    dataclasses.replace(detector, svms=svms).save(folder)
    (second,) = detect_files(folder, [photos / "test1.jpg"], tmp_path / "out", work, EVERYTHING)
    assert second.scores[0] == pytest.approx(first.scores[0] + 1, abs=1e-5)


def test_the_only_input_cannot_be_read(detect, tmp_path, capsys):
    for name in ("bad.jpg", "bad.mp4"):
        (tmp_path / name).write_bytes(b"nothing")
        assert detect(tmp_path / name) == 1
        assert f"left out: {tmp_path / name}: " in capsys.readouterr().err
    assert detect(tmp_path / "absent.mp4") == 2


def test_an_image_with_too_many_pixels(detect, shapes, tmp_path, capsys):
    image = shapes / "VOC2007/JPEGImages/test1.jpg"
    height, width = read_image(image).shape[:2]
    assert detect(image, f"--max_pixels={height * width}") == 0
    assert detect(image, f"--max_pixels={height * width - 1}") == 1
    assert "pixels, expected at most" in capsys.readouterr().err


def test_a_file_name_that_is_no_utf_8(detect, shapes, tmp_path, capsys):
    photo = tmp_path / os.fsdecode(b"sch\xf6n.jpg")
    try:
        shutil.copyfile(shapes / "VOC2007/JPEGImages/test1.jpg", photo)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    (tmp_path / os.fsdecode(b"b\xf6s.jpg")).write_bytes(b"nothing")
    assert detect(tmp_path) == 1
    assert r"b\udcf6s.jpg" in capsys.readouterr().err
    rows = json.loads((tmp_path / "out/detections.json").read_text(encoding="utf-8"))
    assert {row["image_id"] for row in rows} == {(tmp_path / r"sch\udcf6n.jpg").as_posix()}
    assert len(list((tmp_path / "out").glob("sch*.jpg"))) == 1


def test_a_video_whose_rate_cannot_be_written_and_one_after_it(finished, photos, tmp_path, caplog):
    caplog.set_level("INFO", "detection")
    work = Work()
    frames = [read_image(photos / "test1.jpg")[:100, :160]] * 2
    for name, rate in (("a.avi", 119.7134), ("b.avi", 10.0)):
        write_video(tmp_path / name, frames, rate)
    detect_files(finished / "detector", [tmp_path / "a.avi", tmp_path / "b.avi"], tmp_path / "out", work)
    assert not work.problems
    assert video_rate(tmp_path / "out/a.mp4") == pytest.approx(119.71)
    assert "a.mp4: 119.71 frames a second, not 119.713: MPEG-4 has none nearer" in caplog.text
    assert "b.mp4" not in caplog.text


def test_a_video_that_is_cut_off(finished, photos, tmp_path, work):
    frames = [np.roll(read_image(photos / "test1.jpg")[:100, :160], shift, axis=1) for shift in range(0, 60, 5)]
    write_video(tmp_path / "clip.avi", frames, 10.0)
    content = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(content[: len(content) // 2])
    found = detect_files(finished / "detector", [tmp_path / "clip.avi"], tmp_path / "out", work, EVERYTHING)
    assert 0 < len(found) < 12
    (problem,) = work.problems
    assert problem.message == f"the file tells of 12 frames, {len(found)} could be read: it is cut off or damaged"
