"""A class more, a class less, another name: the other classes' detections keep their bits."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection import Detector
from detection.data import DatasetSettings, DatasetSource
from detection.detector_files import read_description
from detection.learning import Calibration
from detection.pipeline.class_changes import add_class, drop_class, rename_class
from detection.pipeline.runner import run_all
from detection.pipeline.stages.detections import DETECTIONS, detect, read_detections
from detection.pipeline.stages.evaluation import evaluation
from detection.pipeline.stages.svms import SVMS


@pytest.fixture(scope="module")
def zebras(write_set, tmp_path_factory):
    """A devkit of photos with striped squares ("zebra"), and a "box" beside each."""
    rng, content, images = np.random.default_rng(4), {}, {}
    for number in range(4):
        image = np.full((100, 160, 3), 130.0) + rng.normal(0, 2, (100, 160, 3))
        x = int(rng.integers(5, 40))
        image[20:70, x : x + 50] = np.where(np.arange(50)[None, :, None] // 5 % 2, 250, 5)
        image[30:80, 105:150] = (200, 40, 30)
        name = f"zebra{number}"
        content[name] = [("zebra", (x, 20, x + 50, 70)), ("box", (105, 30, 150, 80))]
        images[name] = image.clip(0, 255).astype(np.uint8)
    return write_set(tmp_path_factory.mktemp("zebras") / "VOCdevkit", {"trainval": content}, images=images)


def photos(root):
    return DatasetSettings(root=str(root))


def per_class(found, classes):
    """class name -> (boxes, scores) bytes of an image's detections."""
    return {
        name: (found.boxes[found.labels == i].tobytes(), found.scores[found.labels == i].tobytes())
        for i, name in enumerate(classes)
    }


def test_add(run, open_run, zebras, shapes):
    before = {one.image_id: per_class(one, ("box", "disc")) for one in read_detections(open_run(run))}
    add_class(open_run(run), "zebra", photos(zebras))
    detector = Detector.load(run / "detector")
    assert detector.classes == ("box", "disc", "zebra")
    assert detector.svms.trained.all()
    found = detect(open_run(run))
    assert len(found) == 5
    for one in found:
        after = per_class(one, detector.classes)
        assert {name: after[name] for name in ("box", "disc")} == before[one.image_id]
        assert (one.labels == 2).any()
    image = zebras / "VOC2007/JPEGImages/zebra0.jpg"
    best = detector.detect(image)
    first = best.boxes[best.labels == 2][0]
    # The striped square is in the left half.
    assert first[:3:2].mean() < 80
    assert (run / "classes.txt").read_text() == (run / "detector/classes.txt").read_text()
    assert "zebra,1," in (run / "detector/mining-zebra.csv").read_text()
    # The run knows: nothing is trained again, and other settings do not sweep the class away.
    run_all(open_run(run))
    assert Detector.load(run / "detector").classes == detector.classes
    with pytest.raises(ValueError, match=r"changed by hand \(add zebra\)"):
        SVMS.make(open_run(run, "--svm.C=0.5"))


def test_photos_that_are_held_out_are_told(run, open_run, zebras, tmp_path):
    """A plain folder has no splits: a part of it is kept for tests."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in (zebras / "VOC2007").glob("[JA]*/zebra*"):
        shutil.copy(path, folder / path.name)
    experiment = open_run(run)
    add_class(experiment, "zebra", photos(folder))
    told = experiment.work.console.file.getvalue()
    assert "3 images are trainval, 1 are held out as test (dataset.held_out 0.2" in told
    assert "added zebra: 3 positives in 3 of the 3 photos of the split trainval, " in told


def test_add_is_training_that_class_alone(run, open_run, zebras):
    """Negatives come from the run's training images too."""
    add_class(open_run(run), "zebra", photos(zebras))
    log = (run / "detector/mining-zebra.csv").read_text().splitlines()
    assert int(log[-1].split(",")[2]) == 4 + 8


def test_drop_and_rename(run, open_run, zebras):
    before = {one.image_id: per_class(one, ("box", "disc")) for one in read_detections(open_run(run))}
    add_class(open_run(run), "zebra", photos(zebras))
    rename_class(open_run(run), "zebra", "okapi")
    drop_class(open_run(run), "disc")
    assert Detector.load(run / "detector").classes == ("box", "okapi")
    for one in detect(open_run(run)):
        assert per_class(one, ("box", "okapi"))["box"] == before[one.image_id]["box"]
    drop_class(open_run(run), "okapi")
    with pytest.raises(ValueError, match="--drop box: expected a detector with another class"):
        drop_class(open_run(run), "box")
    assert read_description(run / "detector")["notes"]["edits"][1:] == [
        ["rename", "zebra", "okapi"], ["drop", "disc"], ["drop", "okapi"],
    ]  # fmt: skip


def average_precisions(experiment):
    return {one.name: one.ap for one in evaluation(experiment).per_class}


def test_data_keep_counting_under_another_name(run, open_run):
    """The files call the class as before; the names of two may change places."""
    before = average_precisions(open_run(run))
    assert 0 < before["disc"] != before["box"] > 0
    for old, new, expected in (
        ("disc", "plate", {"box": before["box"], "plate": before["disc"]}),
        ("box", "disc", {"disc": before["box"], "plate": before["disc"]}),
        ("plate", "box", {"disc": before["box"], "box": before["disc"]}),
    ):
        rename_class(open_run(run), old, new)
        DETECTIONS.make(open_run(run))
        experiment = open_run(run)
        assert average_precisions(experiment) == expected
        assert not experiment.work.problems


def test_files_may_be_given_the_new_name_too(run, open_run, shapes, tmp_path):
    """By hand, or by a class_map: the run is of the same data."""
    before = average_precisions(open_run(run))
    rename_class(open_run(run), "disc", "plate")
    root = Path(shutil.copytree(shapes, tmp_path / "VOCdevkit"))
    for path in (root / "VOC2007/Annotations").rglob("*.xml"):
        path.write_text(path.read_text().replace(">disc<", ">plate<"))
    DETECTIONS.make(open_run(run))
    for option in (f"--dataset.root={root}", '--dataset.class_map={"disc": "plate"}'):
        experiment = open_run(run, option)
        run_all(experiment)
        assert average_precisions(experiment) == {"box": before["box"], "plate": before["disc"]}
        assert not experiment.work.problems


def test_objects_of_a_dropped_class_are_none_of_another(run, open_run):
    before = average_precisions(open_run(run))
    drop_class(open_run(run), "disc")
    rename_class(open_run(run), "box", "disc")
    detect(open_run(run))
    experiment = open_run(run)
    assert average_precisions(experiment) == {"disc": before["box"]}
    assert experiment.names == {"box": "disc", "disc": None}


def test_a_dropped_class_can_be_added_again(run, open_run, shapes):
    drop_class(open_run(run), "disc")
    add_class(open_run(run), "disc", DatasetSettings(root=str(shapes), train=(DatasetSource(split="test"),)))
    experiment = open_run(run)
    assert experiment.names == {"box": "box", "disc": "disc"}
    assert {int(label) for one in experiment.test_images for label in one.labels} == {0, 1}


def test_what_is_refused(run, open_run, zebras, shapes, tmp_path):
    files = {path.name: path.read_bytes() for path in (run / "detector").iterdir()}
    with pytest.raises(ValueError, match="--add box: the detector has this class"):
        add_class(open_run(run), "box", photos(zebras))
    with pytest.raises(ValueError, match="--add lion: expected objects of this class in"):
        add_class(open_run(run), "lion", photos(zebras))
    rename_class(open_run(shutil.copytree(run, tmp_path / "renamed")), "box", "crate")
    with pytest.raises(ValueError, match="--add box: so the run's data call its class crate"):
        add_class(open_run(tmp_path / "renamed"), "box", photos(zebras))
    with pytest.raises(ValueError, match="--drop lion: expected one of box, disc"):
        drop_class(open_run(run), "lion")
    with pytest.raises(ValueError, match="--rename lion: expected one of"):
        rename_class(open_run(run), "lion", "tiger")
    with pytest.raises(ValueError, match="--rename box disc: the detector has the class disc"):
        rename_class(open_run(run), "box", "disc\n")
    for change, option in ((rename_class, "--rename"), (add_class, "--add")):
        with pytest.raises(ValueError, match=f"^{option}: class name that no file can hold"):
            change(open_run(run), *(["box", "a\x1bb"] if change is rename_class else ["a\x1bb", photos(zebras)]))
    with pytest.raises(ValueError, match=r"expected svms .* there are none"):
        drop_class(open_run(tmp_path / "empty"), "box")
    root = shutil.copytree(zebras, tmp_path / "same ids")
    for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml")):
        (root / "VOC2007" / folder / f"zebra0{suffix}").rename(root / "VOC2007" / folder / f"train0{suffix}")
    (root / "VOC2007/ImageSets/Main/trainval.txt").write_text("train0\n")
    with pytest.raises(ValueError, match="'train0': expected an id that no other image"):
        add_class(open_run(run), "zebra", photos(root))
    assert {path.name: path.read_bytes() for path in (run / "detector").iterdir()} == files


@pytest.mark.parametrize("moves", range(8))
def test_a_detector_is_never_half_replaced(run, monkeypatch, moves):
    """Killed at any move of a file: the folder holds the old detector or the new one."""
    detector = Detector.load(run / "detector")
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    changed = replace(detector, classes=("a", "b"), svms=detector.svms.select(np.array([1, 0])))
    wanted = {one.classes: one.detect(image).scores.tobytes() for one in (detector, changed)}
    move, left = os.replace, [moves]

    def failing(source, target):
        if str(target).startswith(str(run / "detector")) and ".tmp-" not in str(target):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr("detection.detector_files.os.replace", failing)
    try:
        changed.save(run / "detector")
        whole = True
    except KeyboardInterrupt:
        whole = False
    monkeypatch.undo()
    found = Detector.load(run / "detector")
    assert found.detect(image).scores.tobytes() == wanted[found.classes]
    assert not whole or found.classes == ("a", "b")
    assert whole == (moves >= 5)
    changed.save(run / "detector")
    assert Detector.load(run / "detector").classes == ("a", "b")
    assert not [path for path in (run / "detector").iterdir() if path.name.startswith(".")]


def test_the_calibration_of_a_dropped_class_goes_with_it(run, open_run):
    slopes, trained = np.array([-1.5, -2.5]), np.array([True, True])
    calibration = Calibration(slopes, np.array([0.25, 0.5]), trained, np.array([0.75, -0.5]))
    replace(Detector.load(run / "detector"), calibration=calibration).save(run / "detector")
    drop_class(open_run(run), "box")
    left = Detector.load(run / "detector").calibration
    assert [one.tolist() for one in left.to_arrays()[0].values()] == [[-2.5], [0.5], [True], [-0.5]]


@pytest.mark.parametrize("change", ["add", "drop", "rename"])
def test_cut_off_before_or_behind_the_detector(run, open_run, zebras, tmp_path, monkeypatch, change):
    """Before it, the same command does all of it; behind it, nothing is left to do but the lists that a run mends."""
    asked = {
        "add": lambda: add_class(open_run(run), "zebra", photos(zebras)),
        "drop": lambda: drop_class(open_run(run), "disc"),
        "rename": lambda: rename_class(open_run(run), "disc", "plate"),
    }[change]

    def files():
        kept = {path for path in run.rglob("*") if path.is_file() and path.parts[-2] in ("detector", "mining")}
        return {str(path.relative_to(run)): path.read_bytes() for path in kept}

    def cut_off(*arguments):
        written(*arguments)
        raise KeyboardInterrupt

    shutil.copytree(run, tmp_path / "kept")
    found = []
    for written in (lambda *_: None, Detector.save):
        with monkeypatch.context() as patch:
            patch.setattr(Detector, "save", cut_off)
            with pytest.raises(KeyboardInterrupt):
                asked()
        if written is not Detector.save:
            asked()
        found.append(files())
        assert open_run(run).classes == Detector.load(run / "detector").classes
        shutil.rmtree(run)
        shutil.copytree(tmp_path / "kept", run)
    assert found[0] == found[1]
