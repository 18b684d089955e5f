import pytest
import yaml

from detection.storage.run import RunFolder


def test_a_new_folder_is_empty_and_not_made(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert run.read() == {"format_version": 1, "settings": None, "versions": {}, "stages": {}}
    assert run.stage_key("svms") is None
    assert run.fixed_classes() is None
    assert not run.path.exists()


def test_settings_and_stages_are_kept_beside_each_other(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_settings({"svm": {"C": 0.001}, "run": "täst"})
    run.record_stage("svms", "k1", 1.26, {"images": 5})
    run.write_settings({"svm": {"C": 0.01}})
    content = RunFolder(tmp_path / "run").read()
    assert content["settings"] == {"svm": {"C": 0.01}}
    assert {"python", "platform", "numpy", "torch", "sppnet"} <= set(content["versions"])
    stage = content["stages"]["svms"]
    assert stage.pop("finished")
    assert stage == {"key": "k1", "seconds": 1.3, "images": 5}
    run.record_stage("svms", "k2", 0.0, {})
    assert run.stage_key("svms") == "k2"
    assert "images" not in run.read()["stages"]["svms"]


def test_equal_settings_are_not_written_again(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"C": 0.001})
    before = run.record_file.stat().st_mtime_ns
    run.write_settings({"C": 0.001})
    assert run.record_file.stat().st_mtime_ns == before


@pytest.mark.parametrize("content", ["format_version: 2\n", "", "[1, 2]\n"])
def test_another_format_is_refused(tmp_path, content):
    run = RunFolder(tmp_path)
    run.record_file.write_text(content)
    with pytest.raises(ValueError, match=r"run\.yaml: expected format_version 1, got"):
        run.read()


def test_damaged_record(tmp_path):
    run = RunFolder(tmp_path)
    run.record_file.write_text("a: [1")
    with pytest.raises(ValueError, match=r"run\.yaml: expected YAML"):
        run.stage_key("svms")


def test_nothing_in_the_record_is_run(tmp_path):
    run = RunFolder(tmp_path)
    run.record_file.write_text("!!python/object/apply:os.mkdir ['made']\n")
    with pytest.raises(ValueError, match="expected YAML"):
        run.read()


def test_classes_are_fixed_once(tmp_path):
    run = RunFolder(tmp_path)
    assert run.fix_classes(["dog", "big cat", "é"]) == ("dog", "big cat", "é")
    assert run.classes_file.read_text(encoding="utf-8") == "dog\nbig cat\né\n"
    assert RunFolder(tmp_path).fixed_classes() == ("dog", "big cat", "é")
    assert run.fix_classes(("dog", "big cat", "é")) == ("dog", "big cat", "é")
    with pytest.raises(ValueError, match=r"classes\.txt: the run's 3 classes are dog, big cat, é; got 2 others: a, b"):
        run.fix_classes(["a", "b"])
    with pytest.raises(ValueError, match="Use another --run"):
        run.fix_classes(["big cat", "dog", "é"])


def test_record_is_plain_yaml(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"b": [1, 2], "a": None})
    assert list(yaml.safe_load(run.record_file.read_text())["settings"]) == ["b", "a"]


def test_what_differs_from_a_preset_goes_when_nothing_does(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"svm": {"C": 1}}, {"svm.C": 1})
    assert run.read()["differs_from_preset"] == {"svm.C": 1}
    run.write_settings({"svm": {"C": 0.001}})
    assert "differs_from_preset" not in run.read()
