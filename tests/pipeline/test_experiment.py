import csv
import json
import shutil

import numpy as np
import pytest
import yaml

from detection.commands.session import report_problems
from detection.data import DataError, read_coco_results, read_comp4
from detection.data.formats.voc_xml import annotation_xml
from detection.detector import Detector
from detection.engines import limit_threads
from detection.pipeline.executors import worker_processes
from detection.pipeline.runner import run_all
from detection.pipeline.stages.detections import detect, detections_file
from detection.pipeline.stages.evaluation import evaluate
from detection.pipeline.stages.images import MAPS, PROPOSALS
from detection.pipeline.stages.regressors import REGRESSORS
from detection.pipeline.stages.svms import SVMS
from detection.storage import read_json

AFTER_TRAINING = ("calibration", "detections", "drawings", "evaluation", "misses", "report")
STAGES = ("proposals", "features", "svms", "regressors", *AFTER_TRAINING)


def record(run):
    return yaml.safe_load((run / "run.yaml").read_text())


def redone(run, before):
    """The stages that were finished anew since `before`, a content of run.yaml."""
    after = record(run)["stages"]
    return [name for name in STAGES if after[name] != before["stages"].get(name)]


def mark(run):
    """Let every stage's record tell whether it is written again; returns the record."""
    content = record(run)
    del content["content_fingerprint"]  # as of before there was one
    for stage in content["stages"].values():
        stage["seconds"] = -1.0
    (run / "run.yaml").write_text(yaml.safe_dump(content))
    return content


def detections_of(run):
    return (run / "detections" / "test.json").read_bytes()


def printed(experiment):
    return experiment.work.console.file.getvalue()


@pytest.fixture
def data(shapes, tmp_path):
    """A copy of the data set to be changed."""
    return shutil.copytree(shapes, tmp_path / "VOCdevkit")


class TestWholeRun:
    """Every file of the tools' table, from proposals to average precision."""

    def test_files_of_the_stages(self, finished):
        names = ["train0", "sub%20dir%2Ftest%200", "test4"]
        assert all((finished / "proposals" / f"{name}.safetensors").is_file() for name in names)
        (maps,) = (finished / "features").iterdir()
        assert all((maps / f"{name}.safetensors").is_file() for name in names)
        assert {path.name for path in (finished / "detector").iterdir()} == {
            "calibration.safetensors", "classes.txt", "detector.yaml", "mining.csv", "network.safetensors",
            "regressors.safetensors", "samples.csv", "svms.safetensors",
        }  # fmt: skip
        drawn = {path.relative_to(finished / "drawings").as_posix() for path in (finished / "drawings").rglob("*.jpg")}
        assert drawn == {"sub dir/test 0.jpg", *(f"test{number}.jpg" for number in range(1, 5))}
        assert (finished / "classes.txt").read_text() == "box\ndisc\n"
        assert not (finished / "detections" / "parts").exists()
        assert not list(finished.rglob(".tmp-*"))

    def test_detections(self, finished, shapes):
        rows = json.loads(detections_of(finished))
        assert {row["image_id"] for row in rows} == {"sub dir/test 0", "test1", "test2", "test3", "test4"}
        assert {row["category_id"] for row in rows} == {1, 2}
        assert all(set(row) == {"image_id", "category_id", "bbox", "score"} for row in rows)
        ids = (shapes / "VOC2007/ImageSets/Main/test.txt").read_text().splitlines()
        found = read_coco_results(finished / "detections" / "test.json", ids)
        text = read_comp4(finished / "detections", "test", ("box", "disc"), ids)
        for one, other in zip(found, text, strict=True):
            assert sorted(zip(one.scores, one.labels, one.boxes[:, 0], strict=True)) == sorted(
                zip(other.scores, other.labels, other.boxes[:, 0], strict=True)
            )
        line = (finished / "detections" / "comp4_det_test_box.txt").read_text().splitlines()[0]
        assert line.startswith("sub dir/test 0 ")

    def test_evaluation(self, finished):
        result = json.loads((finished / "evaluation" / "test.json").read_text())
        assert {"metric", "mAP", "per_class", "settings"} <= set(result)
        assert result["metric"] == "voc07"
        assert result["settings"]["iou_threshold"] == 0.5
        assert list(result["per_class"]) == ["box", "disc"]
        assert result["mAP"] == pytest.approx(sum(result["per_class"].values()) / 2)
        assert result["per_class"]["box"] > 0.5

    def test_record_of_the_run(self, finished, shapes):
        content = record(finished)
        assert content["format_version"] == 1
        assert content["settings"]["dataset"]["root"] == str(shapes)
        assert content["settings"]["svm"]["seed"] == 3
        assert {"python", "torch", "numpy"} <= set(content["versions"])
        assert list(content["stages"]) == list(STAGES)
        for stage in content["stages"].values():
            assert len(stage["key"]) == 16
            assert stage["seconds"] >= 0
        assert content["stages"]["evaluation"]["mAP"] > 0

    def test_mining_log(self, finished):
        with (finished / "detector" / "mining.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {row["class"] for row in rows} == {"box", "disc"}
        assert {"positives", "negatives", "added", "evicted", "objective", "gap"} <= set(rows[0])
        assert {row["class"]: int(row["positives"]) for row in rows} == record(finished)["stages"]["svms"]["positives"]


class TestSecondRun:
    """What is there already is not made again."""

    def test_nothing_is_written(self, run, open_run):
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        experiment = open_run(run)
        run_all(experiment)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
        assert [line for line in printed(experiment).splitlines() if "done before" in line] == [
            f"{stage}: done before" for stage in STAGES
        ]

    @pytest.mark.parametrize(
        ("option", "stages"),
        [
            ("--svm.C=0.5", ["svms", *AFTER_TRAINING]),
            ("--regression.ridge=10", ["regressors", *AFTER_TRAINING]),
            ("--postprocess.nms_iou=0.5", list(AFTER_TRAINING)),
            ("--calibration.folds=3", ["calibration", "drawings", "evaluation", "report"]),
            ("--evaluation.metric=voc10", ["evaluation", "report"]),
            ("--features.short_sides=[64]", [stage for stage in STAGES if stage != "proposals"]),
            ("--features.levels=[2]", ["svms", "regressors", *AFTER_TRAINING]),
            ("--proposals.max_windows=20", [stage for stage in STAGES if stage != "features"]),
        ],
    )
    def test_a_setting_redoes_what_depends_on_it(self, run, open_run, option, stages):
        before = mark(run)
        run_all(open_run(run, option))
        assert redone(run, before) == stages

    def test_maps_of_other_settings_are_kept(self, run, open_run):
        MAPS.make(open_run(run, "--features.short_sides=[64]"))
        assert len(list((run / "features").iterdir())) == 2
        experiment = open_run(run)
        MAPS.make(experiment)
        assert record(run)["stages"]["features"]["key"] == experiment.source.cache().key
        assert record(run)["stages"]["features"]["made"] == 0

    def test_a_changed_training_image(self, run, open_run, data):
        shutil.copyfile(data / "VOC2007/JPEGImages/train1.jpg", data / "VOC2007/JPEGImages/train3.jpg")
        shutil.copyfile(data / "VOC2007/Annotations/train1.xml", data / "VOC2007/Annotations/train3.xml")
        before = mark(run)
        run_all(open_run(run, f"--dataset.root={data}"))
        assert redone(run, before) == list(STAGES)
        assert [record(run)["stages"][name]["made"] for name in ("proposals", "features")] == [1, 1]

    def test_a_changed_test_image(self, run, open_run, data):
        shutil.copyfile(data / "VOC2007/JPEGImages/test1.jpg", data / "VOC2007/JPEGImages/test3.jpg")
        shutil.copyfile(data / "VOC2007/Annotations/test1.xml", data / "VOC2007/Annotations/test3.xml")
        before = mark(run)
        run_all(open_run(run, f"--dataset.root={data}"))
        assert redone(run, before) == [
            "proposals",
            "features",
            "detections",
            "drawings",
            "evaluation",
            "misses",
            "report",
        ]

    @pytest.mark.parametrize(
        ("image", "stages"),
        [
            ("train3", ["svms", "regressors", *AFTER_TRAINING]),
            ("test3", ["evaluation", "misses", "report"]),
        ],
    )
    def test_changed_boxes(self, run, open_run, data, image, stages):
        xml = data / "VOC2007" / "Annotations" / f"{image}.xml"
        xml.write_text(annotation_xml("x.jpg", (112, 160), [("disc", (10, 10, 60, 60), False)]))
        before = mark(run)
        run_all(open_run(run, f"--dataset.root={data}"))
        assert redone(run, before) == stages

    def test_lost_proposals_and_maps_are_made_again(self, run, open_run):
        expected = detections_of(run)
        shutil.rmtree(run / "proposals")
        next((run / "features").rglob("test1.safetensors")).write_bytes(b"damaged")
        shutil.rmtree(run / "detections")
        before = mark(run)
        run_all(open_run(run))
        assert detections_of(run) == expected
        assert redone(run, before) == ["proposals", "features", "detections", "report"]

    def test_another_class_list_is_refused(self, run, open_run, tmp_path):
        names = tmp_path / "names.txt"
        names.write_text("box\ndisc\nring\n")
        with pytest.raises(ValueError, match=r"classes.txt: the run's 2 classes are box, disc; .* 3: added ring"):
            run_all(open_run(run, f"--dataset.classes={names}"))

    def test_another_training_set_with_other_classes_is_refused(self, run, open_run, make_devkit):
        other = make_devkit({"trainval": {"a": [("cat", (10, 20, 60, 80))]}, "test": {"b": []}})
        with pytest.raises(ValueError, match="another --run leaves this one as it is"):
            run_all(open_run(run, f"--dataset.root={other}"))
        assert record(run)["settings"]["dataset"]["root"] != str(other)


class TestSameResult:
    """The same seed gives the same detections, bit for bit."""

    def test_two_workers(self, finished, open_run, tmp_path):
        with worker_processes(2) as executor:
            run_all(open_run(tmp_path / "run", "--workers=2", executor=executor))
        assert detections_of(tmp_path / "run") == detections_of(finished)
        assert (tmp_path / "run/detector/svms.safetensors").read_bytes() == (
            finished / "detector/svms.safetensors"
        ).read_bytes()

    def test_from_the_cache_and_fresh(self, run, open_run):
        expected = detections_of(run)
        for folder in ("features", "proposals", "detector", "detections"):
            shutil.rmtree(run / folder)
        run_all(open_run(run))
        assert detections_of(run) == expected

    @pytest.mark.parametrize(
        "options",
        [
            ["--limit=20"],
            ["--postprocess.max_per_class=3"],
            ["--postprocess.voting_iou=0.5", "--postprocess.rounds=2", "--postprocess.mirrored=true"],
        ],
    )
    def test_the_saved_detector_equals_the_run(self, run, open_run, shapes, options):
        experiment = open_run(run, *options)
        found = {one.image_id: one for one in detect(experiment)}
        detector = Detector.load(run / "detector")
        for image in experiment.test_images:
            with limit_threads(1):
                one = detector.detect(image.path)
            for name in ("boxes", "scores", "labels"):
                assert getattr(one, name).tobytes() == getattr(found[image.image_id], name).tobytes()
        rows = read_json(detections_file(experiment))
        assert len(rows) == sum(len(one.scores) for one in found.values()) > 0
        assert {row["image_id"] for row in rows} <= set(found)


class TestFaultyData:
    """A bad image is left out and listed, and stops a strict run."""

    @pytest.fixture
    def faulty(self, data):
        images, annotations = data / "VOC2007" / "JPEGImages", data / "VOC2007" / "Annotations"
        for split in ("train", "test"):
            path = images / f"{split}1.jpg"
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            (images / f"{split}2.jpg").unlink()
            (annotations / f"{split}4.xml").unlink()
        return data

    def test_the_run_goes_on(self, faulty, open_run, tmp_path):
        experiment = open_run(tmp_path / "run", f"--dataset.root={faulty}")
        result = run_all(experiment)
        report_problems(experiment)
        lines = (tmp_path / "run" / "problems.txt").read_text().splitlines()
        for name in ("train1.jpg", "test1.jpg", "JPEGImages/train2", "JPEGImages/test2", "train4.xml", "test4.xml"):
            assert len([line for line in lines if name in line]) == 1
            assert name in printed(experiment).split("faults in the data")[1]
        assert len(lines) == 6
        assert all(line.startswith("left out: ") for line in lines)
        # What cannot be decoded is known by its header and its boxes: missed.
        assert result.images == 3
        assert result.images_without_detections == 1
        assert sum(one.objects for one in result.per_class) == 4
        assert record(tmp_path / "run")["stages"]["svms"]["images"] == 5

        again = open_run(tmp_path / "run", f"--dataset.root={faulty}")
        run_all(again)
        assert set(again.work.problems.records) == set(experiment.work.problems.records)
        report_problems(again)

    def test_strict(self, faulty, open_run, tmp_path):
        with pytest.raises(DataError, match=r"JPEGImages/train2|train4\.xml"):
            run_all(open_run(tmp_path / "run", f"--dataset.root={faulty}", "--strict"))

    def test_strict_while_decoding(self, data, open_run, tmp_path):
        path = data / "VOC2007/JPEGImages/test1.jpg"
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(DataError, match=r"test1\.jpg"):
            run_all(open_run(tmp_path / "run", f"--dataset.root={data}", "--strict"))

    def test_a_fault_that_is_gone_is_listed_no_more(self, open_run, run):
        (run / "problems.txt").write_text("old")
        experiment = open_run(run)
        evaluate(experiment)
        report_problems(experiment)
        assert not (run / "problems.txt").exists()

    def test_empty_split(self, data, open_run, tmp_path):
        (data / "VOC2007/ImageSets/Main/test.txt").write_text("\n")
        with pytest.raises(ValueError, match=r"test\.txt: .*empty"):
            run_all(open_run(tmp_path / "run", f"--dataset.root={data}"))

    def test_no_test_split(self, run, open_run):
        with pytest.raises(ValueError, match=r"dataset\.test: expected at least one split"):
            run_all(open_run(run, "--dataset.test=[]"))

    def test_one_id_for_two_images(self, open_run, tmp_path, make_devkit):
        options = {"trainval": {"a": [("cat", (10, 20, 60, 80))]}, "test": {"b": []}}
        root = make_devkit(options)
        make_devkit({"test": {"a": []}}, year="OTHER", seed=5)
        test = '[{"year": "OTHER", "split": "test"}]'
        with pytest.raises(ValueError, match=r"image 'a': expected one picture of an id, got .*VOC2007.* and .*OTHER"):
            run_all(open_run(tmp_path / "run", f"--dataset.root={root}", f"--dataset.test={test}"))

    def test_testing_on_training_images_is_warned_of(self, open_run, tmp_path):
        experiment = open_run(tmp_path / "run", '--dataset.test=[{"split": "trainval"}]')
        assert len(experiment.images) == len(experiment.train_images) == len(experiment.test_images)
        assert "warning: 8 test images are training images too: train0, train1" in printed(experiment)


class TestClassWithoutTrainingObject:
    """It is warned of, has AP 0 where the test set has it and none where not."""

    def test_it(self, data, open_run, tmp_path):
        names = tmp_path / "names.txt"
        names.write_text("box\ndisc\nring\nstar\n")
        xml = data / "VOC2007/Annotations/test3.xml"
        xml.write_text(annotation_xml("test3.jpg", (112, 160), [("ring", (10, 10, 60, 60), False)]))
        experiment = open_run(tmp_path / "run", f"--dataset.root={data}", f"--dataset.classes={names}")
        run_all(experiment)
        assert "warning: no training object of ring, star: left untrained" in printed(experiment)
        result = json.loads((tmp_path / "run/evaluation/test.json").read_text())
        assert result["per_class"]["ring"] == 0.0
        assert result["per_class"]["star"] is None
        known = [value for value in result["per_class"].values() if value is not None]
        assert result["mAP"] == pytest.approx(np.mean(known))
        assert len(known) == 3
        assert (tmp_path / "run/detections/comp4_det_test_star.txt").read_text() == ""


class TestOrder:
    """A stage whose input is missing or of other settings says which tool makes it."""

    def test_detection_needs_svms(self, open_run, tmp_path):
        with pytest.raises(ValueError, match=r"expected svms .* there are none, .* whole; run sppnet train"):
            detect(open_run(tmp_path / "run"))

    def test_regressors_need_svms(self, open_run, tmp_path):
        with pytest.raises(ValueError, match=r"run sppnet train"):
            REGRESSORS.make(open_run(tmp_path / "run"))

    def test_of_other_settings(self, run, open_run):
        with pytest.raises(ValueError, match=r"svms .* of other settings or data; run sppnet train"):
            detect(open_run(run, "--svm.C=0.1"))
        with pytest.raises(ValueError, match=r"regressors .* of other settings or data; run sppnet regress"):
            detect(open_run(run, "--regression.ridge=1"))

    def test_evaluation_needs_detections(self, run, open_run):
        with pytest.raises(ValueError, match=r"test\.json: expected detections .* run sppnet detect"):
            evaluate(open_run(run, "--postprocess.nms_iou=0.4"))

    def test_detection_without_regressors(self, open_run, tmp_path):
        experiment = open_run(tmp_path / "run")
        SVMS.make(experiment)
        assert len(detect(experiment)) == 5
        assert not (tmp_path / "run/detector/regressors.safetensors").exists()

    def test_limit(self, open_run, tmp_path):
        experiment = open_run(tmp_path / "run", "--limit=2")
        PROPOSALS.make(experiment)
        assert [one.image_id for one in experiment.images] == ["train0", "train1", "sub dir/test 0", "test1"]
        assert len(list((tmp_path / "run/proposals").iterdir())) == 4
