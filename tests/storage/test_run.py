import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from detection.storage.lock import LockedError
from detection.storage.run import RunFolder


def test_a_new_folder_is_empty_and_not_made(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert run.read() == {"format_version": 1, "settings": None, "versions": {}, "stages": {}}
    assert run.stage_key("svms") is None
    assert run.fixed_classes() is None
    assert not run.path.exists()


def test_its_path_is_whole(tmp_path, monkeypatch):
    """Workers elsewhere have other working folders."""
    monkeypatch.chdir(tmp_path)
    assert RunFolder("run").detector == tmp_path / "run" / "detector"


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


def test_a_stage_is_forgotten_alone(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_settings({"svm": {"C": 0.001}})
    for stage in ("svms", "report"):
        run.record_stage(stage, f"key of {stage}", 1.0, {})
    run.forget_stage("svms")
    run.forget_stage("never done")
    again = RunFolder(run.path)
    assert (again.stage_key("svms"), again.stage_key("report")) == (None, "key of report")
    assert again.read()["settings"] == {"svm": {"C": 0.001}}


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": 3}, r"run\.yaml: settings: expected names with values, got 3; move it away"),
        ({"settings": {1: 2}}, r"run\.yaml: settings: expected names with values, got \{1: 2\}"),
        ({"versions": None}, r"run\.yaml: versions: expected names"),
        ({"stages": ["svms"]}, r"run\.yaml: stages: expected names"),
        ({"stages": {"svms": "k"}}, r"run\.yaml: stages: svms: expected names"),
        ({"classes": "cat"}, r"run\.yaml: classes: expected a list, got 'cat'; move it away"),
    ],
)
def test_a_record_of_other_types_names_the_key(tmp_path, change, message):
    run = RunFolder(tmp_path)
    run.record_file.write_text(yaml.safe_dump({**run.read(), **change}))
    with pytest.raises(ValueError, match=message):
        run.stage_key("svms")


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
    told = (
        r"classes\.txt: the run's 3 classes are dog, big cat, é; data and settings ask for 3: added a; gone dog\. "
        "--classes_changed retrain trains anew .*--classes_changed keep goes on with the run's.*another --run"
    )
    with pytest.raises(ValueError, match=told):
        run.fix_classes(["a", "big cat", "é"])
    with pytest.raises(ValueError, match="ask for 3: the same in another order"):
        run.fix_classes(["big cat", "dog", "é"])
    assert run.fixed_classes() == ("dog", "big cat", "é")
    assert run.fix_classes(("a",), replace=True) == ("a",) == run.fixed_classes()
    assert run.classes_file.read_text(encoding="utf-8") == "a\n"


@pytest.mark.parametrize("content", [b"dog\n", b"dog\nbig cat\n\xff\n", b"dog\nbig cat\n", b"", None])
def test_a_damaged_list_of_classes_is_said_and_written_anew(tmp_path, caplog, content):
    run = RunFolder(tmp_path / str(content))
    run.fix_classes(["dog", "cat"])
    run.classes_file.unlink() if content is None else run.classes_file.write_bytes(content)
    assert run.fixed_classes() == ("dog", "cat")
    said = "classes.txt: damaged or changed by hand (" in caplog.text and "run's classes are dog, cat" in caplog.text
    assert said == (content is not None)
    assert run.fix_classes(["dog", "cat"]) == ("dog", "cat")
    assert run.classes_file.read_text() == "dog\ncat\n"


def test_names_that_hold_what_unicode_takes_for_the_end_of_a_line(tmp_path):
    names = ("a\x0bb", "c\u2028d")
    assert RunFolder(tmp_path).fix_classes(names) == RunFolder(tmp_path).fixed_classes() == names


def test_a_list_of_before_the_record_kept_it_is_taken_as_it_is(tmp_path):
    run = RunFolder(tmp_path)
    run.classes_file.write_text("dog\ncat\n")
    assert run.fixed_classes() == ("dog", "cat")
    run.fix_classes(["dog", "cat"])
    assert run.read()["classes"] == ["dog", "cat"]


def test_a_record_of_before_there_were_fingerprints_that_is_cut_names_the_key(tmp_path):
    run = RunFolder(tmp_path)
    run.record_file.write_text("format_version: 1\nsettings: null\nversions: {}\n")
    with pytest.raises(ValueError, match=r"run\.yaml: expected the key stages, found none: .* cut off; move it away"):
        run.read()


def test_a_record_that_is_cut_anywhere_or_has_another_digit_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"svm": {"C": 0.001}})
    run.record_stage("svms", "0123456789abcdef", 1.0, {"images": 5})
    text = run.record_file.read_text()
    for count in range(len(text.splitlines())):
        run.record_file.write_text("".join(text.splitlines(keepends=True)[:count]))
        with pytest.raises(ValueError, match=r"run\.yaml: .*move it away"):
            run.read()
    for old, new in (("C: 0.001", "C: 0.002"), ("abcdef", "abcdee"), ("images: 5", "images: 6")):
        assert old in text
        run.record_file.write_text(text.replace(old, new))
        with pytest.raises(
            ValueError, match=r"run\.yaml: damaged, or changed by hand: .*delete its line 'content_finger"
        ):
            run.read()
    run.record_file.write_text(text.replace("\n", "\r\n"))
    assert run.stage_key("svms") == "0123456789abcdef"


def test_files_of_a_stage_are_as_it_wrote_them(tmp_path, caplog):
    run, path = RunFolder(tmp_path), tmp_path / "detections" / "test.json"
    assert not run.are_whole(path)
    path.parent.mkdir()
    path.write_text("[1]")
    assert run.are_whole(path)
    run.record_stage("detections", "k", 1.0, {}, [path])
    assert run.are_whole(path)
    assert run.read()["stages"]["detections"]["files"].keys() == {"detections/test.json"}
    path.write_text("[2]")
    assert not run.are_whole(path)
    assert "test.json: damaged: expected content of fingerprint" in caplog.text
    other = path.with_name("other.json")
    other.write_text("")
    assert run.are_whole(other)
    assert not run.are_whole(other, path)
    path.unlink()
    assert not run.are_whole(path)
    assert not run.are_whole(other, path)


def test_record_is_plain_yaml(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"b": [1, 2], "a": None})
    assert list(yaml.safe_load(run.record_file.read_text())["settings"]) == ["b", "a"]


def test_one_writer_at_a_time_who_clears_up_first(tmp_path):
    run = RunFolder(tmp_path / "run")
    left = [folder / ".tmp-x" for folder in (run.path, run.finetuned, run.features / "key", run.detections / "parts")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    with run.written():
        assert not any(path.exists() for path in left)
        with pytest.raises(LockedError, match=f"process {os.getpid()} on"), RunFolder(tmp_path / "run").written():
            pass
        assert run.read()["settings"] is None
        run.write_settings({"a": 1})
    assert not (run.path / ".lock").exists()


def test_changes_of_the_record_by_many_at_once_are_all_kept(tmp_path):
    run = RunFolder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run.record_stage(f"s{number}", str(number), 0.0, {}), range(24)))
    assert {name: one["key"] for name, one in run.read()["stages"].items()} == {f"s{n}": str(n) for n in range(24)}
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_what_differs_from_a_preset_goes_when_nothing_does(tmp_path):
    run = RunFolder(tmp_path)
    run.write_settings({"svm": {"C": 1}}, {"svm.C": 1})
    assert run.read()["differs_from_preset"] == {"svm.C": 1}
    run.write_settings({"svm": {"C": 0.001}})
    assert "differs_from_preset" not in run.read()
