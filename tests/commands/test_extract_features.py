import json
import re

import numpy as np
import pytest

from detection.storage import read_arrays


@pytest.fixture
def extract(load_tool, run):
    return lambda *arguments: load_tool("extract_features").main([f"--run={run}", "--workers=1", *arguments])


def needed(text):
    """(images to be made, bytes) of what --dry-run prints."""
    found = re.search(r"(\d+) to be made: ([\d.,]+) MiB", text)
    return int(found[1]), float(found[2].replace(",", "")) * 2**20


def test_dry_run(extract, run, capsys):
    assert extract("--dry-run") == 0
    assert needed(capsys.readouterr().out) == (0, 0.0)
    before = set((run / "features").iterdir())
    assert extract("--dry-run", "--features.short_sides=[480]") == 0
    count, figure = needed(capsys.readouterr().out)
    assert count == 13
    assert len(list((run / "features").iterdir())) == 1
    assert extract("--features.short_sides=[480]") == 0
    (folder,) = set((run / "features").iterdir()) - before
    arrays = [read_arrays(path)[0] for path in folder.glob("*.safetensors")]
    assert len(arrays) == count
    held = sum(one.nbytes for each in arrays for name, one in each.items() if one.ndim == 3)
    # The figure has one digit after the point; 1 KiB a file is reckoned for its header.
    assert abs(held + 1024 * count - figure) <= 0.0501 * 2**20
    assert figure > 1.5 * 2**20


def test_export_of_proposals_and_objects(extract, run, open_run, capsys):
    assert extract("--export=pool5") == 0
    assert extract("--export=pool5", "--of=objects") == 0
    experiment = open_run(run)
    length = experiment.source.extractor().length()
    for image in experiment.images:
        name = experiment.source.store().path(image.image_id).name
        proposals, metadata = read_arrays(run / "regions/pool5/proposals" / name)
        assert proposals["boxes"].tobytes() == experiment.source.proposals(image).boxes.tobytes()
        assert proposals["values"].shape == (len(proposals["boxes"]), length)
        assert (metadata["layer"], metadata["image_id"]) == ("pool5", image.image_id)
        objects, _ = read_arrays(run / "regions/pool5/objects" / name)
        assert objects["boxes"].tobytes() == image.boxes.tobytes()
    assert "13 images" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_export_of_own_boxes(extract, run, tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    if kind == "json":
        path.write_text(json.dumps({"test1": [[1, 2, 30, 40.5]]}))
    else:
        path.write_text("image_id,x1,y1,x2,y2\ntest1,1,2,30,40.5\n")
    assert extract("--export=pool5", f"--boxes={path}") == 0
    (file,) = (run / "regions/pool5/mine").iterdir()
    arrays, _ = read_arrays(file)
    assert arrays["boxes"].tolist() == [[1, 2, 30, 40.5]]
    assert np.isfinite(arrays["values"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export=fc7"], "fc7 is not on offer"),
        (["--export=fc9"], "command line: .*export"),
        (["--boxes=BOXES"], "--boxes: expected --export"),
        (["--export=pool5", "--boxes=BOXES"], r"mine\.json: expected ids of the data set's 13 images, got 1 others: x"),
        (["--export=pool5", "--boxes=none.json"], r"none\.json"),
    ],
)
def test_errors_come_first(extract, run, tmp_path, capsys, arguments, message):
    (tmp_path / "mine.json").write_text('{"x": []}')
    arguments = [one.replace("BOXES", str(tmp_path / "mine.json")) for one in arguments]
    assert extract(*arguments, "--features.short_sides=[480]") == 2
    assert re.search(message, capsys.readouterr().err, re.DOTALL)
    assert len(list((run / "features").iterdir())) == 1
