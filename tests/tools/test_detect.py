import json
import shutil

import numpy as np
import pytest

from detection.data import read_image, write_video
from detection.pipeline.work import default_workers


@pytest.fixture
def detect(load_tool, finished, tmp_path):
    def detect_it(*arguments):
        model = ["--model", str(finished / "detector"), "--out", str(tmp_path / "out"), "--workers=1"]
        return load_tool("detect").main([*model, *map(str, arguments)])

    return detect_it


def test_an_image(detect, shapes, tmp_path, capsys):
    image = shapes / "VOC2007/JPEGImages/test1.jpg"
    assert detect(image) == 0
    rows = json.loads((tmp_path / "out/detections.json").read_text())
    assert {row["image_id"] for row in rows} == {image.as_posix()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"classes.txt", "detections.json", "test1.jpg"}
    shown = sum(row["score"] >= -0.5 for row in rows)
    assert f"1 images, {shown} detections of at least -0.5" in capsys.readouterr().out
    drawn = read_image(tmp_path / "out/test1.jpg").astype(int)
    assert np.abs(drawn - read_image(image)).max() > 100
    assert detect(image, "--min_score=50") == 0
    assert np.abs(read_image(tmp_path / "out/test1.jpg").astype(int) - read_image(image)).mean() < 3


def test_a_folder_with_a_broken_image(detect, shapes, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    source = shapes / "VOC2007/JPEGImages/test1.jpg"
    shutil.copyfile(source, photos / "good.jpg")
    (photos / "bad.jpg").write_bytes(source.read_bytes()[:-3000])
    assert detect(photos) == 0
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
    monkeypatch.setattr(tool, "detect_files", lambda *arguments: calls.append(arguments[-1]) or [])
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


def test_workers():
    assert default_workers() >= 1
