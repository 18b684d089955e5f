import json
from urllib.parse import unquote

import numpy as np
import pytest

from detection.data import read_image


@pytest.fixture
def visualize(load_tool, shape_options, run, tmp_path, capsys):
    """Runs the tool on a copy of a finished run; returns (exit status, what it printed). Pictures: tmp_path/out."""

    def call(*arguments):
        own = [f"--run={run}", f"--out={tmp_path / 'out'}", *map(str, arguments)]
        status = load_tool("visualize_features").main([*shape_options, *own])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return call


def test_images_and_their_filters(visualize, tmp_path, shapes):
    status, printed = visualize("--images", "test1", "sub dir/test 0", "--filter", 0, 6, "--stage", 16)
    assert status == 0, printed
    written = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert written == ["sub dir_test 0~20d3bdc5-stride16.png", "test1-stride16.png"]
    two = read_image(tmp_path / "out" / "images" / "test1-stride16.png")
    status, printed = visualize(
        "--images", shapes / "VOC2007" / "JPEGImages" / "test2.jpg", "--strongest", 1, "--peaks", 1
    )
    assert status == 0, printed
    one = read_image(tmp_path / "out" / "images" / "test2-stride32.png")
    assert one.shape[0] < two.shape[0]
    assert len(np.unique(one.reshape(-1, 3), axis=0)) > 50
    status, printed = visualize("--images", "test1", "--pyramid", "--filter", 7)
    assert status == 0, printed
    assert read_image(tmp_path / "out" / "pyramids" / "test1-stride32-filter7.png").shape[1] > 300


def test_a_data_set_and_its_filters(visualize, tmp_path, run):
    status, printed = visualize("--split", "test", "--top", 2, "--filter", 3, 40, "--effective", 0.9)
    assert status == 0, printed
    folder = tmp_path / "out" / "filters-stride32"
    page = (folder / "index.html").read_text()
    assert str(folder / "index.html") in printed.splitlines()
    assert {path.name for path in folder.iterdir()} == {"filters-0003-0040.png", "index.html", "photos"}
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert set(data["groups"]) == {"", "box", "disc"}
    for channel in ("3", "40"):
        ranked = data["groups"][""][channel]
        assert len(ranked) == 2
        assert ranked[0][1] >= ranked[1][1]
        assert all(len(boxes) == 2 for _, _, boxes in ranked)
        assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for _, _, boxes in ranked for x1, y1, x2, y2 in boxes)
    assert all((folder / unquote(file)).is_file() for _, file, _ in data["photos"])
    assert read_image(folder / "filters-0003-0040.png").shape[2] == 3


def test_the_explanation_of_a_window(visualize, tmp_path, run):
    found = json.loads((run / "detections" / "test.json").read_text())
    image_id = found[0]["image_id"]
    status, printed = visualize("--images", image_id, "--window", "10,12,70,80", "--class", "box", "--channels", 2)
    assert status == 0, printed
    for words in ("none of its proposals", "(chosen)", "cells, rows", "score of box:", "nearest object:", "NMS:"):
        assert words in printed
    (picture,) = (tmp_path / "out" / "windows").glob("*.png")
    explanation = json.loads(picture.with_suffix(".json").read_text())
    assert explanation["constant"] + sum(one["adds"] for one in explanation["stages"]) == pytest.approx(
        explanation["scores"]["box"]
    )
    assert len(explanation["filters"]) == 2
    assert explanation["filters"][0]["adds"] >= explanation["filters"][1]["adds"]
    assert sum(one["adds"] for one in explanation["filters"][0]["bins"]) == pytest.approx(
        explanation["filters"][0]["adds"]
    )


def test_support_vectors(visualize, tmp_path, run):
    status, printed = visualize("--samples", "box", "disc", "--count", 4)
    assert status == 0, printed
    assert {path.name for path in (tmp_path / "out" / "samples").iterdir()} == {"box.png", "disc.png"}
    assert "left out" not in printed
    samples = run / "detector" / "samples.csv"
    lines = samples.read_text().splitlines()
    assert lines[0] == "class,kind,image_id,x1,y1,x2,y2,margin,alpha"
    assert {line.split(",")[1] for line in lines[1:]} == {"positive", "negative"}
    samples.write_text("\n".join([*lines, "box,negative,gone,0,0,20,30,0.5,0.1"]))
    status, printed = visualize("--samples", "box")
    assert status == 0, printed
    assert "1 samples are of photos that the training set has not; they are left out" in " ".join(printed.split())
    samples.unlink()
    status, printed = visualize("--samples", "box")
    assert status == 2
    assert "sppnet train" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "nothing"], "--images: expected an id"),
        (["--stage", "7"], "--stage: expected one of features.stages"),
        (["--short-side", "7"], "--short-side: expected one of [96]"),
        (["--filter", "9999"], "--filter: expected 0 to"),
        (["--window", "1,2,3,4"], "--window: expected one image"),
        (["--window", "a", "--images", "test1"], "--window: expected x1,y1,x2,y2"),
        (["--window", "1,2,3,9999", "--images", "test1"], "inside (height, width)"),
        (["--window", "1,2,30,40", "--images", "test1", "--class", "cow"], "--class: expected one of box, disc"),
        (["--samples", "cow"], "--samples: expected classes among box, disc"),
        (["--images", "test1", "--pyramid"], "--pyramid: expected one --filter"),
        (["--top", "0"], "at least 1, got 0"),
    ],
)
def test_what_cannot_be_used(visualize, options, message):
    status, printed = visualize(*options)
    assert status == 2
    assert message in printed
