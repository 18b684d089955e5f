import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data import DatasetSettings, Problems, dataset_classes, load_annotations, write_digits
from detection.data import digits as module
from detection.geometry import iou


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("made") / "digits", seed=3, trainval=24, test=12)


def loaded(root):
    settings = DatasetSettings(root=str(root))
    problems = Problems(strict=True)
    classes = dataset_classes(settings, problems)
    train = load_annotations(settings.train_sources, classes, problems)
    return classes, train, load_annotations(settings.test_sources, classes, problems)


def test_it_is_a_faultless_devkit_of_the_size_asked_for(root):
    classes, train, test = loaded(root)
    assert set(classes) <= set(module.DIGIT_CLASSES)
    assert (len(train), len(test)) == (24, 12)
    assert sorted(path.name for path in root.iterdir()) == ["ATTRIBUTION.txt", "VOC2007", "digits.json"]
    assert [path.name for path in root.parent.iterdir()] == ["digits"]
    counts = [len(image.labels) for image in train + test]
    assert min(counts) >= 1
    assert max(counts) <= module.DIGITS_PER_IMAGE[1]
    for image in train + test:
        assert 333 <= min(image.size) <= 400
        assert 480 <= max(image.size) <= 500
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        assert sides.min() >= module.MIN_INK_SIDE
        assert module.INK_SIDES[0] <= sides.max(axis=1).min()
        assert sides.max() <= module.INK_SIDES[1]
        assert not iou(image.boxes, image.boxes)[~np.eye(len(sides), dtype=bool)].any()


def test_a_seed_gives_the_pictures_of_this_format_version(root):
    """Another result of the same seed needs another `_FORMAT_VERSION`."""
    classes, train, test = loaded(root)
    found = [[(classes[a], *b) for a, b in zip(one.labels, one.boxes.tolist(), strict=True)] for one in (*train, *test)]
    assert module._FORMAT_VERSION == 1
    assert found[0] == [("eight", 74, 89, 98, 148), ("seven", 85, 212, 125, 275)]
    assert [name for name, *_ in found[1]] == ["zero", "nine", "six", "two", "three"]
    assert found[2] == [("three", 276, 177, 310, 230)]
    assert found[24] == [("zero", 243, 56, 308, 155), ("zero", 27, 18, 81, 103), ("zero", 189, 49, 227, 107)]


def test_digit_samples_of_the_splits_are_disjoint(root):
    def samples(images):
        texts = [(root / "VOC2007" / "Annotations" / f"{image.image_id}.xml").read_text() for image in images]
        found = [re.search(r"load_digits samples ([\d ]+),", text)[1].split() for text in texts]
        assert [len(one) for one in found] == [len(image.labels) for image in images]
        return {sample for one in found for sample in one}

    _, train, test = loaded(root)
    assert len(samples(train)) > 20
    assert not samples(train) & samples(test)


def test_names_are_the_samples_own(root):
    from sklearn.datasets import load_digits

    classes, train, _ = loaded(root)
    target = load_digits().target
    for image in train:
        text = (root / "VOC2007" / "Annotations" / f"{image.image_id}.xml").read_text()
        samples = re.search(r"load_digits samples ([\d ]+),", text)[1].split()
        names = [classes[label] for label in image.labels]
        assert names == [module.DIGIT_CLASSES[target[int(sample)]] for sample in samples]


def test_boxes_are_tight_on_ink_that_is_seen():
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(0)
    for ground in (0.0, 100.0, 127.0, 255.0) * 5:
        digit = module._make_digit(digits, np.arange(len(digits.images)), rng)
        canvas = np.full((400, 500, 3), ground)
        x1, y1, x2, y2 = module._place(canvas, digit.cover, [], rng)
        changed = np.abs(canvas - ground).max(axis=2)
        inside = changed[y1:y2, x1:x2].copy()
        changed[y1:y2, x1:x2] = 0
        assert not changed.any()
        assert inside.max() >= module.MIN_CONTRAST
        least = inside.max() * module.INK_COVER * 0.99
        assert min(inside[0].max(), inside[-1].max(), inside[:, 0].max(), inside[:, -1].max()) > least


def test_a_digit_that_cannot_be_seen_is_not_drawn():
    stripes = np.zeros((400, 500, 3))
    stripes[:, ::2] = 255
    before = stripes.copy()
    assert module._place(stripes, np.ones((40, 30), np.float32), [], np.random.default_rng(0)) is None
    assert np.array_equal(stripes, before)


@pytest.mark.parametrize("seed", range(5))
def test_a_place_that_is_taken_is_tried_no_further(seed):
    """Half of the canvas is taken: of 40 tries one is free of it, and of the distance that boxes keep."""
    taken = (0, 0, 100, 200)
    x1, y1, x2, y2 = module._place(np.zeros((200, 200, 3)), np.ones((30, 20)), [taken], np.random.default_rng(seed))
    assert (x2 - x1, y2 - y1) == (20, 30)
    assert x1 >= taken[2] + module.GAP
    assert x2 < 200
    full = [(0, 0, 200, 200)]
    assert module._place(np.zeros((200, 200, 3)), np.ones((30, 20)), full, np.random.default_rng(seed)) is None


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(root, tmp_path):
    again = write_digits(tmp_path / "digits", seed=3, trainval=24, test=12)
    assert contents(again) == contents(root)
    write_digits(tmp_path / "digits", seed=4, trainval=24, test=12)
    assert contents(again).keys() == contents(root).keys()
    assert contents(again) != contents(root)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_what_is_complete_is_left_and_what_is_not_is_repaired(tmp_path):
    root = write_digits(tmp_path / "digits", seed=1, trainval=2, test=1)
    path = root / "VOC2007" / "JPEGImages" / "000001.jpg"
    before = path.stat().st_mtime_ns
    write_digits(root, seed=1, trainval=2, test=1)
    assert path.stat().st_mtime_ns == before
    path.unlink()
    write_digits(root, seed=1, trainval=2, test=1)
    assert path.is_file()


def test_foreign_folders_and_bad_counts_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_text("precious")
    with pytest.raises(ValueError, match="other files"):
        write_digits(tmp_path / "photos")
    assert (tmp_path / "photos" / "mine.jpg").read_text() == "precious"
    with pytest.raises(ValueError, match="at least one image"):
        write_digits(tmp_path / "digits", test=0)


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_digits(tmp_path / "digits", trainval=1, test=1)
    assert list(tmp_path.iterdir()) == []


def test_the_authors_are_named(root):
    text = (root / "ATTRIBUTION.txt").read_text()
    for name in ("danielbuechele", "vultilion", "creativecommons.org/licenses/by/2.0", "Alpaydin"):
        assert name in text
