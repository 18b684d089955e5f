"""Which label file belongs to which photo."""

import pytest

from detection.data.formats.folder import FolderSet
from detection.data.formats.pairing import pair_labels


def beside(image, label):
    return (0,) if image == label else None


def anywhere(image, label):
    return (1,) if image == label else (0,)


def pair(images, labels, near=beside, names=None):
    return pair_labels(images, labels, near, (names or {}).get)


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (["x.jpg"], ["x.xml"], {"x.jpg": "x.xml"}),
        (["x.JPG"], ["X.XML"], {"x.JPG": "X.XML"}),
        (["x.jpg"], ["x.jpg.xml"], {"x.jpg": "x.jpg.xml"}),
        (["x.jpg"], ["x.jpg.xml", "x.xml"], {"x.jpg": "x.xml"}),
        (["x.jpg", "X.jpg"], ["X.xml", "x.xml"], {"x.jpg": "x.xml", "X.jpg": "X.xml"}),
        (["x.jpg"], ["y.xml", "xx.xml"], {}),
        (
            ["x.jpg", "x.png", "x.jpg.jpg"],
            ["x.jpg.xml", "x.png.xml", "x.jpg.jpg.xml"],
            {"x.jpg": "x.jpg.xml", "x.png": "x.png.xml", "x.jpg.jpg": "x.jpg.jpg.xml"},
        ),
        (["x.jpg", "x.jpg.jpg"], ["x.xml", "x.jpg.xml"], {"x.jpg": "x.xml", "x.jpg.jpg": "x.jpg.xml"}),
        (["a/x.jpg", "b/x.jpg"], ["b/x.xml"], {"b/x.jpg": "b/x.xml"}),
    ],
)
def test_names(images, labels, expected):
    for one in (images, images[::-1]):
        found = pair(one, labels)
        assert found.labels == expected
        assert found.passed_over == {}


@pytest.mark.parametrize(
    ("named", "photo", "mask"),
    [
        (None, "x.jpg", "x.png"),
        ("x.png", "x.png", "x.jpg"),
        ("X.JPG", "x.jpg", "x.png"),
        ("other.png", "x.jpg", "x.png"),
    ],
)
def test_of_pictures_of_one_name_the_label_file_says_which_is_the_photo(named, photo, mask):
    found = pair(["x.jpg", "x.png", "y.png"], ["x.xml"], names={"x.xml": named})
    assert found.labels == {photo: "x.xml"}
    assert found.passed_over == {mask: f"{photo} is the photo that x.xml is of"}


def test_a_folder_of_nothing_but_pictures_of_other_photos_holds_no_photos():
    images = ["photos/x.jpg", "photos/y.jpg", "photos/new.jpg", "masks/x.png"]
    found = pair(images, ["photos/x.xml", "photos/y.xml"], anywhere)
    assert found.labels == {"photos/x.jpg": "photos/x.xml", "photos/y.jpg": "photos/y.xml"}
    assert found.passed_over == {"masks/x.png": "photos/x.jpg is the photo that photos/x.xml is of"}
    # With a picture that no photo explains it may be a folder of photos without labels, and is not passed over.
    assert pair([*images, "masks/z.png"], ["photos/x.xml", "photos/y.xml"], anywhere).passed_over == {}


def test_what_may_be_of_two_folders_is_of_none():
    found = pair(["a/x.jpg", "b/x.jpg"], ["c/x.xml"], anywhere)
    assert found.labels == found.passed_over == {}
    assert found.unsure["a/x.jpg"] == found.unsure["b/x.jpg"] == "c/x.xml may be of a/x.jpg or of b/x.jpg"
    assert pair(["a/x.jpg", "b/x.png"], ["c/x.xml"], anywhere, {"c/x.xml": "x.png"}).labels == {"b/x.png": "c/x.xml"}


XML = "<annotation><filename>{}</filename></annotation>"


@pytest.mark.parametrize(
    ("images", "xmls", "expected"),
    [
        (["photos/x.jpg"], ["annotations/x.xml"], {"photos/x.jpg": "annotations/x.xml"}),
        (["IMAGES/x.jpg"], ["Labels/X.XML"], {"IMAGES/x.jpg": "Labels/X.XML"}),
        (["x.jpg"], ["xml/x.xml", "Annotations/x.xml"], {"x.jpg": "Annotations/x.xml"}),
        (["images/x.jpg"], ["annotations/xmls/x.xml"], {"images/x.jpg": "annotations/xmls/x.xml"}),
        (["images/x.jpg", "annotations/x.png"], ["annotations/x.xml"], {"images/x.jpg": "annotations/x.xml"}),
        (["images/x.jpg", "annotations/x.jpg"], ["annotations/x.xml"], {"images/x.jpg": "annotations/x.xml"}),
        (["labels/x.jpg"], ["labels/x.xml"], {"labels/x.jpg": "labels/x.xml"}),
        (
            ["train/x.jpg", "test/x.jpg"],
            ["Annotations/train/x.xml", "Annotations/test/x.xml"],
            {"train/x.jpg": "Annotations/train/x.xml", "test/x.jpg": "Annotations/test/x.xml"},
        ),
        (
            ["train/photos/x.jpg", "test/photos/x.jpg"],
            ["train/notes/x.xml", "test/notes/x.xml"],
            {"train/photos/x.jpg": "train/notes/x.xml", "test/photos/x.jpg": "test/notes/x.xml"},
        ),
        # The XML of a photo that is gone, among others of its folder, is of no photo elsewhere.
        (["a/x.jpg", "b/y.jpg"], ["b/x.xml", "b/y.xml"], {"b/y.jpg": "b/y.xml"}),
    ],
)
def test_layouts_of_folders(tmp_path, images, xmls, expected):
    for name in (*images, *xmls):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(XML.format("x.jpg" if "x" in path.stem.lower() else "y.jpg"))
    assert FolderSet(tmp_path).pairs.labels == expected


def test_splits_and_annotations_that_are_links(tmp_path):
    for name in ("store/x.jpg", "notes/x.xml"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(XML.format("x.jpg"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "Annotations").symlink_to(tmp_path / "notes")
    assert FolderSet(tmp_path / "set").pairs.labels == {"train/x.jpg": "Annotations/x.xml"}


def test_many_folders_of_equal_names():
    """As the frames of many films: each of 250,000 pairs of folders is looked at once, not once a frame."""
    images = [f"photos/{film:03}/{frame:03}.jpg" for film in range(500) for frame in range(20)]
    calls = []

    def near(image, label):
        calls.append(None)
        return (image[1:] == label[1:],)

    found = pair(images, [one.replace("photos", "notes").replace(".jpg", ".xml") for one in images], near)
    assert all(
        label == image.replace("photos", "notes").replace(".jpg", ".xml") for image, label in found.labels.items()
    )
    assert (len(found.labels), len(calls)) == (len(images), 500 * 500)
