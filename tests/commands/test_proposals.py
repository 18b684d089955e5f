import csv
import shutil

import numpy as np
import pytest
import scipy.io

from detection.commands.proposals import main
from detection.data import read_image
from detection.proposals import ProposalSettings, ProposalStore, propose
from detection.proposals.foreign import read_proposals, write_proposals
from detection.storage import read_json
from detection.storage.run import RunFolder


@pytest.fixture(scope="module")
def tool():
    return main


def blobs(seed, size=(90, 120)):
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 120, np.uint8)
    for _ in range(5):
        x, y = rng.integers(0, size[1] - 40), rng.integers(0, size[0] - 40)
        image[y : y + 38, x : x + 38] = rng.integers(0, 255, 3)
    return image


@pytest.fixture
def devkit(make_devkit):
    ids = ("000001", "000002", "000003")
    return make_devkit(
        {
            "trainval": {"000001": [("cat", (10, 20, 60, 80))], "000002": [("dog", (5, 5, 50, 50))]},
            "test": {"000003": [("cat", (10, 10, 70, 70)), ("dog", (0, 0, 9, 9), True)]},
        },
        images={one: blobs(index) for index, one in enumerate(ids)},
    )


@pytest.fixture
def call(tool, devkit, tmp_path, capsys):
    """Runs the tool on the devkit and run folder; returns (exit status, what it printed)."""

    def run(command, *options, folder="run"):
        common = ["--dataset.root", str(devkit), "--run", str(tmp_path / folder), "--workers", "1"]
        status = tool([command, *common, *map(str, options)])
        printed = capsys.readouterr()
        return status, " ".join((printed.out + printed.err).split())

    return run


def proposals_of(tmp_path, image_id, folder="run"):
    arrays = next((tmp_path / folder / "proposals").glob(f"{image_id}.safetensors"))
    from detection.storage import read_arrays

    return read_arrays(arrays)[0]["boxes"]


OLD = {one: np.float32([[0, 0, 120, 90], [10, 20, 60, 81], [3, 4, 40, 50]]) for one in ("000001", "000002", "000003")}


def test_generate_export_import_is_lossless(call, tmp_path):
    assert call("generate")[0] == 0
    for kind in ("npz", "json", "csv", "mat"):
        out = tmp_path / f"proposals.{kind}"
        assert call("export", "--out", out)[0] == 0
        status, printed = call("import", "--windows", out, folder=f"run_{kind}")
        assert status == 0
        assert "3 images" in printed
        for image_id in OLD:
            found = proposals_of(tmp_path, image_id, f"run_{kind}")
            assert np.array_equal(found, proposals_of(tmp_path, image_id))


def test_an_imported_run_uses_its_proposals_and_no_others(call, tool, tmp_path, capsys):
    write_proposals(tmp_path / "old.mat", OLD)
    assert call("import", "--windows", tmp_path / "old.mat")[0] == 0
    # The run's own settings say so,
    assert RunFolder(tmp_path / "run").read()["settings"]["proposals"]["method"] == "imported"
    assert tool(["generate", "--run", str(tmp_path / "run"), "--workers", "1"]) == 0
    assert "made 0, kept 3" in capsys.readouterr().err
    # settings that say something else are refused,
    status, printed = call("generate", "--proposals.method", "selective_search")
    assert status == 2
    assert "holds proposals imported from" in printed
    # and the word for it is enough.
    assert call("generate", "--proposals.method", "imported")[0] == 0
    assert np.array_equal(proposals_of(tmp_path, "000002"), OLD["000002"])


def test_imported_without_an_import_is_refused(call):
    status, printed = call("generate", "--proposals.method", "imported")
    assert status == 2
    assert "run sppnet proposals import" in printed


def test_other_proposals_are_another_key(call, tmp_path):
    write_proposals(tmp_path / "old.npz", OLD)
    write_proposals(tmp_path / "new.npz", OLD | {"000001": OLD["000001"][::-1].copy()})
    records = []
    for name in ("old", "new", "old"):
        assert call("import", "--windows", tmp_path / f"{name}.npz")[0] == 0
        records.append(read_json(tmp_path / "run" / "proposals" / "imported.json")["fingerprint"])
    assert records[0] == records[2] != records[1]
    store = [ProposalStore(tmp_path, ProposalSettings(method="imported", imported=one)).key for one in records[:2]]
    assert store[0] != store[1]


def test_a_wrong_order_names_the_right_one_and_writes_nothing(call, tmp_path):
    write_proposals(tmp_path / "old.mat", OLD)
    status, printed = call("import", "--windows", tmp_path / "old.mat", "--order", "xyxy")
    assert status == 2
    assert "Read as order yxyx, base 1, end inclusive, 0 do: that is likely right" in printed
    assert not (tmp_path / "run" / "proposals").exists()
    assert (
        call("import", "--windows", tmp_path / "old.mat", "--order", "yxyx", "--base", "1", "--end", "inclusive")[0]
        == 0
    )


def test_a_doubtful_convention_is_told_and_taken(call, tmp_path):
    inclusive = {one: boxes - np.float32([0, 0, 1, 1]) for one, boxes in OLD.items()}
    write_proposals(tmp_path / "old.npz", inclusive)
    doubt = "warning: {}: read as order xyxy, base 0, end exclusive, the proposals of no image reach all its borders"
    for command, status in (("check", 0), ("report", 0), ("import", 0)):
        found, printed = call(command, "--windows", tmp_path / "old.npz")
        assert (found, doubt.format(tmp_path / "old.npz") in printed) == (status, True), printed
    assert np.array_equal(proposals_of(tmp_path, "000001"), inclusive["000001"])
    status, printed = call("import", "--windows", tmp_path / "old.npz", "--end", "inclusive", folder="other")
    assert (status, "reach all its borders" in printed) == (0, False)
    assert np.array_equal(proposals_of(tmp_path, "000001", "other"), OLD["000001"])


def positional(path, ids):
    boxes = np.empty((1, len(ids)), object)
    for index, one in enumerate(ids):
        boxes[0, index] = (OLD[one] + [1, 1, 0, 0])[:, [1, 0, 3, 2]]
    scipy.io.savemat(path, {"boxes": boxes})
    return path


def test_files_without_ids_go_by_position_when_asked(call, tmp_path):
    train = positional(tmp_path / "voc_trainval.mat", ["000001", "000002"])
    test = positional(tmp_path / "voc_test.mat", ["000003"])
    status, printed = call("import", "--train_proposals", train)
    assert status == 2
    assert "expected image ids" in printed
    status, printed = call("import", "--windows", train, "--by_position")
    assert status == 2
    assert "got both" in printed
    status, printed = call("import", "--train_proposals", test, "--by_position")
    assert status == 2
    assert "as many lists as the split has images, 2, got 1" in printed
    assert call("import", "--train_proposals", train, "--test_proposals", test, "--by_position")[0] == 0
    assert np.array_equal(proposals_of(tmp_path, "000003"), OLD["000003"])


def test_position_counts_images_that_cannot_be_used_too(call, devkit, tmp_path):
    (devkit / "VOC2007" / "JPEGImages" / "000001.jpg").unlink()
    train = positional(tmp_path / "voc_trainval.mat", ["000001", "000002"])
    assert call("import", "--train_proposals", train, "--by_position")[0] == 0
    assert np.array_equal(proposals_of(tmp_path, "000002"), OLD["000002"])


def test_import_repairs_and_lists(call, tmp_path):
    dirty = {one: np.repeat(OLD[one], 20, axis=0) for one in OLD}
    dirty["000002"][:2] = [[100, 50, 300, 80], [60, 81, 10, 20]]
    ids = sorted(dirty)
    np.savez(tmp_path / "old.npz", **{one: dirty[one] for one in ids[:2]})
    status, printed = call("import", "--windows", tmp_path / "old.npz")
    assert status == 0
    assert "1 repaired: proposals swapped: 000002" in printed
    assert "1 repaired: proposals outside: 000002" in printed
    assert proposals_of(tmp_path, "000002")[:2].tolist() == [[100, 50, 120, 80], [10, 20, 60, 81]]
    assert "2 images" in printed
    assert "1 images without" in printed
    assert "no imported proposals: 000003" in printed
    assert len(proposals_of(tmp_path, "000001")) == 60  # equal proposals stay


def test_import_wants_a_file_and_each_image_once(call, tmp_path):
    assert "expected at least one file" in call("import")[1]
    write_proposals(tmp_path / "a.npz", OLD)
    write_proposals(tmp_path / "b.json", {"000001": OLD["000001"]})
    status, printed = call("import", "--windows", tmp_path / "a.npz", tmp_path / "b.json")
    assert status == 2
    assert "image '000001': expected proposals in one file" in printed


def test_check_lists_and_fixes(call, tmp_path):
    dirty = {f"{number:06d}": np.tile(OLD["000001"], (1, 1)) for number in range(1, 4)}
    dirty["000001"] = np.concatenate([OLD["000001"], np.float32([[3, 4, 40, 50], [7, 7, 7, 9]])])
    dirty["000002"] = np.zeros((0, 4), np.float32)
    path = tmp_path / "old.json"
    write_proposals(path, dirty)
    # One of two images with proposals has a fault by any convention: it is no wrong convention.
    status, printed = call("check", "--windows", path, "--fix")
    assert status == 1
    assert "1 empty, 1 duplicate, 1 no proposals" in printed
    assert "empty: 000001, proposal 4: 7, 7, 7, 9" in printed
    assert "2 proposals dropped, 1 images changed" in printed
    with (tmp_path / "run" / "proposals" / "faults.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(one["image_id"], one["fault"], one["row"]) for one in rows] == [
        ("000001", "empty", "4"),
        ("000001", "duplicate", "3"),
        ("000002", "no proposals", ""),
    ]
    fixed = read_proposals(tmp_path / "old.fixed.npz")
    assert fixed.boxes[0].tolist() == OLD["000001"].tolist()
    assert call("check", "--windows", tmp_path / "old.fixed.npz", "--split", "test")[0] == 0


def test_check_and_fix_the_runs_own(call, tmp_path):
    doubled = {one: np.concatenate([boxes, boxes]) for one, boxes in OLD.items()}
    np.savez(tmp_path / "old.npz", **doubled)
    assert call("import", "--windows", tmp_path / "old.npz")[0] == 0
    status, printed = call("check", "--proposals.method", "imported", "--fix")
    assert status == 1
    assert "9 duplicate" in printed
    assert call("check", "--proposals.method", "imported")[0] == 0
    assert np.array_equal(proposals_of(tmp_path, "000001"), OLD["000001"])


def test_report_of_several_sets(call, tmp_path):
    exact = {"000003": np.float32([[0, 0, 120, 90], [10, 10, 70, 70]])}
    write_proposals(tmp_path / "exact.npz", exact)
    write_proposals(tmp_path / "old.mat", OLD)
    assert call("generate")[0] == 0
    status, printed = call(
        "report", "--windows", f"mine={tmp_path / 'run'}", tmp_path / "exact.npz", tmp_path / "old.mat"
    )
    assert status == 0
    folder = tmp_path / "run" / "proposals"
    with (folder / "figures.csv").open() as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert list(rows["MABO"])[1:] == ["mine", "exact.npz", "old.mat"]
    # The difficult dog does not count.
    assert rows["objects"]["mine"] == "1"
    assert float(rows["MABO"]["exact.npz"]) == 1
    assert float(rows["proposals an image, mean"]["exact.npz"]) == 2
    best = 50 * 50 / (60 * 60 + 50 * 61 - 50 * 50)
    assert float(rows["best overlap, cat"]["old.mat"]) == pytest.approx(best)
    assert read_image(folder / "recall.png").shape[2] == 3
    with (folder / "recall_by_count.csv").open() as file:
        assert len(list(csv.reader(file))) == 11
    status, printed = call("report", "--windows", tmp_path / "exact.npz", f"exact.npz={tmp_path / 'old.mat'}")
    assert status == 2
    assert "sets of different names" in printed


def test_report_of_another_run(call, tmp_path):
    """Its proposals are read under its own settings: those of an import in it."""
    write_proposals(tmp_path / "old.mat", OLD)
    assert call("import", "--windows", tmp_path / "old.mat", folder="other")[0] == 0
    out = ("--out", tmp_path / "figures")
    windows = ("--windows", f"theirs={tmp_path / 'other'}", tmp_path / "old.mat")
    assert call("report", *windows, *out)[0] == 0
    with (tmp_path / "figures" / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["figure"]: row["theirs"] for row in rows} == {row["figure"]: row["old.mat"] for row in rows}
    assert {row["theirs"] for row in rows if row["figure"] == "proposals an image, mean"} == {"3.0"}
    record = tmp_path / "other" / "run.yaml"
    lines = [one for one in record.read_text().splitlines() if not one.startswith("content_fingerprint")]
    record.write_text("\n".join(lines).replace("  method: imported", "  methods: imported") + "\n")
    status, printed = call("report", *windows, *out)
    assert status == 2
    assert "other/run.yaml: expected the settings of proposals, got {" in printed


def test_report_counts_images_without_proposals_as_missed(call, tmp_path):
    write_proposals(tmp_path / "some.npz", {"000001": OLD["000001"]})
    status, printed = call("report", "--windows", tmp_path / "some.npz", "--split", "train")
    assert status == 0
    assert "no proposals of 1 images: 000002" in printed


def test_export_wants_a_run_with_proposals_and_a_file(call, tmp_path):
    assert "expected the folder of a run" in call("export", "--out", tmp_path / "a.npz")[1]
    assert call("generate")[0] == 0
    shutil.rmtree(tmp_path / "run" / "proposals")
    assert "found none of 3" in call("export", "--out", tmp_path / "a.npz")[1]
    assert "expected the file to write" in call("export")[1]


def test_a_shrunk_image_is_said_to_be(call):
    found = propose("a", blobs(0), ProposalSettings(max_pixels=2700))
    assert found.source == "selective_search/fast at 60x45"
    assert "resized 3" in call("generate", "--proposals.max_pixels", "2700")[1]
    assert "resized" not in call("generate", folder="other")[1]


def test_help_and_unknown_commands(tool, capsys):
    with pytest.raises(SystemExit):
        tool(["report", "--help"])
    printed = capsys.readouterr().out
    assert "--by_position" in printed
    assert "folder" in printed.lower()
    assert tool(["frobnicate"]) == 2
    assert "expected one of generate, import, export, check, report" in capsys.readouterr().err
