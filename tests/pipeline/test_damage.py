"""A file that was damaged is made again with the same bits, or named with what to do; nothing is used in silence."""

import shutil
from pathlib import Path

import pytest

from detection.pipeline.runner import run_all
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.stages.svms import SVMS
from detection.storage import file_fingerprint, notices

# What is made again, and may be any file of its kind.
MADE_AGAIN = (
    "proposals/train1.safetensors", "proposals/test1.safetensors", "features/*/test2.safetensors",
    "detections/test.json", "evaluation/test.json", "evaluation/test.misses.json", "report.html",
)  # fmt: skip
NAMED = (
    "run.yaml", "detector/detector.yaml", "detector/classes.txt", "detector/svms.safetensors",
    "detector/regressors.safetensors", "detector/network.safetensors",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _say_all(monkeypatch):
    """Each test hears what others have heard."""
    monkeypatch.setattr(notices, "_said", set())


def content(run):
    """Digests of all files that a run keeps, but for its record and report, which tell times."""
    files = (path for path in run.rglob("*") if path.is_file() and run / "report" not in path.parents)
    return {path: file_fingerprint(path) for path in files if path.name not in ("run.yaml", "report.html")}


def flip(path):
    """Another value of a byte in the middle, where no white space is."""
    data = bytearray(path.read_bytes())
    place = next(place for place in range(len(data) // 2, len(data)) if data[place] not in b" \r\n\t")
    data[place] ^= 1
    path.write_bytes(data)


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("damage", [flip, cut])
def test_what_can_be_made_again_is(run, open_run, caplog, damage):
    before = content(run)
    paths = [next(run.glob(name)) for name in MADE_AGAIN]
    for path in paths:
        damage(path)
    run_all(open_run(run))
    assert content(run) == before
    for path in paths:
        assert f"{path}: " in caplog.text
    assert caplog.text.count("it counts as absent and is made again where it is needed") == len(paths)
    caplog.clear()
    run_all(open_run(run))
    assert caplog.text == ""


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("damage", [flip, cut])
def test_what_cannot_is_named_and_nothing_is_changed(run, open_run, name, damage):
    damage(run / name)
    before = content(run)
    with pytest.raises(ValueError, match=rf"{run / name}: .*(fingerprint|YAML).*(move it away|delete)"):
        run_all(open_run(run, "--postprocess.max_per_class=7"))
    assert content(run) == before


def test_damaged_detections_are_not_evaluated(run, open_run, caplog):
    flip(run / "detections" / "test.json")
    with pytest.raises(ValueError, match=r"expected detections .* there are none, .* whole; run sppnet detect"):
        read_detections(open_run(run))
    assert "test.json: damaged: expected content of fingerprint" in caplog.text


def test_files_of_the_devkit_may_go_but_are_whole(run, open_run):
    (run / "detections" / "comp4_det_test_box.txt").unlink()
    DETECTIONS.require(open_run(run))
    flip(run / "detections" / "comp4_det_test_disc.txt")
    with pytest.raises(ValueError, match="there are none, or none that are whole"):
        DETECTIONS.require(open_run(run))


def test_a_run_of_before_there_were_fingerprints_goes_on(run, open_run, caplog):
    """Its stages stay done, and the lack of them is said once."""
    path = run / "run.yaml"
    lines = path.read_text().split("\n")
    assert lines[0].startswith("content_fingerprint: ")
    path.write_text("\n".join(lines[1:]))
    for name in ("detector/detector.yaml", "evaluation/test.misses.json"):
        text = (run / name).read_text()
        start, end = text.index("content_fingerprint"), text.index("\n", text.index("content_fingerprint"))
        (run / name).write_text(text[: start - (text[start - 1] == '"')] + text[end + 1 :])
    experiment = open_run(run)
    run_all(experiment)
    assert "detections: done before" in experiment.work.console.file.getvalue()
    assert "misses: done before" in experiment.work.console.file.getvalue()
    assert [one.message for one in caplog.records] == [
        f"{path}: of an earlier version, as others may be: without a fingerprint, by which damage shows"
    ]


class TestClasses:
    """A list that is no longer that of the run or of the data."""

    def test_damaged_the_list_is_that_of_the_record(self, run, open_run, caplog):
        before = content(run)
        (run / "classes.txt").write_text("box\nring\n")
        run_all(open_run(run))
        assert content(run) == before
        assert "classes.txt: damaged or changed by hand (added ring; gone disc)" in caplog.text

    def test_of_a_run_before_the_record_kept_it_the_detector_has_it(self, run, open_run):
        before = content(run)
        lines = (run / "run.yaml").read_text().split("\n")
        kept = [one for one in lines if one not in ("classes:", "- box", "- disc")][1:]
        assert len(kept) == len(lines) - 4
        (run / "run.yaml").write_text("\n".join(kept))
        (run / "classes.txt").write_text("box\n")
        run_all(open_run(run))
        assert content(run) == before

    @pytest.fixture
    def data(self, shapes, tmp_path):
        """The data set with another class in one photo: it was a disc."""
        root = Path(shutil.copytree(shapes, tmp_path / "VOCdevkit"))
        path = next(
            one for one in sorted((root / "VOC2007/Annotations").glob("train*.xml")) if ">disc<" in one.read_text()
        )
        path.write_text(path.read_text().replace(">disc<", ">zebra<", 1))
        return root

    @pytest.fixture
    def begun(self, shapes, data, open_run, tmp_path):
        """A whole run on the data as it was, under the settings of the changed one."""
        changed = data.rename(tmp_path / "changed")
        shutil.copytree(shapes, data)
        run_all(open_run(tmp_path / "begun", f"--dataset.root={data}"))
        shutil.rmtree(data)
        changed.rename(data)
        return tmp_path / "begun"

    def test_a_class_in_the_data_that_the_run_has_not(self, begun, data, open_run):
        before = content(begun)
        told = r"classes\.txt: the run's 2 classes are box, disc; data and settings ask for 3: added zebra\. --classes"
        with pytest.raises(ValueError, match=told):
            run_all(open_run(begun, f"--dataset.root={data}"))
        assert content(begun) == before

        kept = open_run(begun, f"--dataset.root={data}", "--classes_changed=keep")
        SVMS.make(kept)
        assert kept.classes == ("box", "disc")
        assert [one.kind for one in kept.work.problems] == ["unknown class 'zebra'"]

        anew = open_run(begun, f"--dataset.root={data}", "--classes_changed=retrain")
        SVMS.make(anew)
        assert anew.classes == ("box", "disc", "zebra")
        assert (begun / "classes.txt").read_text() == "box\ndisc\nzebra\n"
        assert anew.run.fixed_classes() == anew.classes
        assert not anew.work.problems

        # From now on that is the run's list.
        assert open_run(begun, f"--dataset.root={data}").classes == anew.classes

    def test_a_class_of_the_run_that_the_data_have_no_more(self, begun, data, open_run):
        for path in (data / "VOC2007" / "Annotations").glob("train*.xml"):
            path.write_text(path.read_text().replace(">disc<", ">box<").replace(">zebra<", ">box<"))
        before = content(begun)
        with pytest.raises(ValueError, match=r"box, disc; data and settings ask for 1: gone disc\."):
            run_all(open_run(begun, f"--dataset.root={data}"))
        assert content(begun) == before
