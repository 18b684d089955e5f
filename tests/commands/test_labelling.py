import shutil
import socket

import pytest

from detection.commands import labelling
from detection.data.formats.folder import FolderReader
from detection.data.labels import LabelReader
from detection.labelling.marks import Marks, MarksFile
from detection.storage import read_json

FAST = (
    "--proposals.preset=single", "--proposals.max_windows=60", "--features.short_sides=[96]", "--workers=1",
    "--calibration.folds=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Keeps proposals and maps for all tests."""
    return tmp_path_factory.mktemp("labelling") / "run"


@pytest.fixture
def call(run_folder, capsys):
    """``call(name, folder, *options)``: (status, printed, said)."""
    shutil.rmtree(run_folder / "labelling", ignore_errors=True)

    def run(name, folder, *options):
        capsys.readouterr()
        # Of another folder now; what it keeps of photos goes by their content.
        (run_folder / "run.yaml").unlink(missing_ok=True)
        status = labelling.main([name, str(folder), f"--run={run_folder}", *FAST, *options])
        return status, *capsys.readouterr()

    return run


def lines_of(printed):
    """Photo -> reason."""
    return dict(line.split(": ", 1) for line in printed.splitlines() if ".jpg: " in line)


def test_next_without_labels(call, shape_photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in shape_photos.glob("*.jpg"):
        shutil.copy(photo, folder)
    status, printed, _ = call("next", folder, "--count=3")
    assert status == 0
    reasons = lines_of(printed)
    assert len(reasons) == 3
    assert set(reasons) <= set(map(str, folder.glob("*.jpg")))
    assert next(iter(reasons.values())) == "the first"


def test_next_with_labels(call, shape_photos):
    status, printed, _ = call("next", shape_photos)
    assert status == 0
    assert "by cross-validation over 8 complete photos" in printed
    reasons = lines_of(printed)
    assert set(reasons) == {str(shape_photos / f"test{number}.jpg") for number in range(1, 5)}
    assert any(one.startswith("uncertain: ") for one in reasons.values())
    again = call("next", shape_photos, "--count=2", "--rule=uncertainty")
    assert len(lines_of(again[1])) == 2


def test_the_same_command_goes_on_without_naming_the_folder(call, shape_photos, run_folder, capsys):
    expected = call("next", shape_photos)[1]
    for words in ([str(shape_photos)], []):
        assert labelling.main(["next", *words, f"--run={run_folder}", "--workers=1"]) == 0
        assert capsys.readouterr().out == expected


def test_next_where_all_is_labelled(call, shape_photos, tmp_path):
    folder = shutil.copytree(shape_photos, tmp_path / "photos")
    for photo in folder.glob("test*.jpg"):
        photo.unlink()
    status, printed, _ = call("next", folder)
    assert status == 0
    assert "every photo that can be read is labelled" in printed


def test_photos_marked_as_drawn_in_part_are_no_complete_ones(call, shape_photos, run_folder):
    marks = MarksFile(run_folder / "labelling" / "photos.json")
    for number in range(8):
        marks.keep(f"train{number}", Marks(False))
    assert "cross-validation" not in call("next", shape_photos)[1]


def test_suggest_writes_drafts_of_the_unlabelled_photos(call, shape_photos, tmp_path):
    out = tmp_path / "out"
    status, printed, _ = call("suggest", shape_photos, "--to=labelstudio", f"--out={out}", "--threshold=0.05")
    assert status == 0, printed
    tasks = read_json(out / "labels-labelstudio" / "tasks.json")
    names = [one["data"]["image"].rpartition("=")[2] for one in tasks]
    assert names == [f"photos/test{number}.jpg" for number in range(1, 5)]
    found = [box for one in tasks for box in one["predictions"][0]["result"]]
    assert found
    assert all(0.05 <= one["score"] <= 1 for one in found)
    assert f"4 photos, {len(found)} boxes of at least 5%" in printed
    status, _, said = call("suggest", shape_photos, "--to=labelstudio", f"--out={out}")
    assert status == 2
    assert "draft labels lie there" in said


@pytest.mark.parametrize("format", ["voc", "yolo", "coco", "cvat"])
def test_suggest_for_every_tool(call, shape_photos, tmp_path, format):
    status, _, said = call("suggest", shape_photos, f"--to={format}", f"--out={tmp_path}", "--margin=-2")
    assert status == 0, said
    assert any((tmp_path / f"labels-{format}").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to=word"], "expected one of"),
        (["--to=cvat", "--threshold=2"], "expected a probability in 0 .. 1"),
    ],
)
def test_suggest_refuses(call, shape_photos, tmp_path, options, message):
    status, _, said = call("suggest", shape_photos, f"--out={tmp_path / 'out'}", *options)
    assert status == 2
    assert message in said


def test_suggest_without_boxes(call, shape_photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(shape_photos / "test1.jpg", folder)
    status, _, said = call("suggest", folder, "--to=cvat", f"--out={tmp_path / 'out'}")
    assert status == 2
    assert "expected a class of at least 3 boxes to learn from, got none" in said


def test_a_format_that_is_read_alone(call, shape_photos, monkeypatch):
    monkeypatch.setattr(FolderReader, "save", LabelReader.save)
    assert call("next", shape_photos)[0] == 0
    status, _, said = call("label", shape_photos, "--browser=false")
    assert status == 2
    assert "format folder: expected one that labels can be saved in, as XML, YOLO, COCO: sppnet convert" in said


def test_a_run_of_another_folder_is_left_as_it_is(run, shape_photos, capsys):
    before = (run / "run.yaml").read_bytes()
    assert labelling.main(["next", str(shape_photos), f"--run={run}"]) == 2
    assert "expected a run of" in capsys.readouterr().err
    assert (run / "run.yaml").read_bytes() == before


def test_a_folder_without_photos(call, tmp_path):
    status, _, said = call("next", tmp_path)
    assert status == 2
    assert "expected a data set" in said


def test_an_address_of_ipv6(call, shape_photos, monkeypatch):
    found = []

    def answer(_, listening):
        with socket.create_connection(listening.getsockname()[:2]):
            found.append(listening.family)

    monkeypatch.setattr("detection.labelling.server.serve", answer)
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    status, printed, _ = call("label", shape_photos, "--host=::1", "--browser=false")
    assert (status, found) == (0, [socket.AF_INET6])
    assert "photos: http://[::1]:" in printed
