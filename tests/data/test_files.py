"""Names in files: where they may lead, and how files are found by them, whatever their case."""

import pytest

from detection.data.files import ImageFinder, Tree, files_below, images_below, inside


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("./a/b.jpg", "a/b.jpg"),
        ("././b.jpg", "b.jpg"),
        (".", "."),
        ("", None),
        ("./", None),
        ("..", None),
        ("a/../b.jpg", None),
        ("../set/b.jpg", None),
        ("/etc/passwd", None),
        ("C:\\b.jpg", None),
        ("{root}/a/b.jpg", "a/b.jpg"),
        ("{root}/../b.jpg", None),
        ("{root}x/b.jpg", None),
        ("{root}", None),
    ],
)
def test_a_name_in_a_file_leads_into_its_set_or_nowhere(tmp_path, name, found):
    root = tmp_path / "set"
    assert inside(name.format(root=root), root) == found


def test_the_users_own_path_may_hold_dots_and_links(tmp_path, monkeypatch):
    (tmp_path / "set" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set" / "below")
    for root in (tmp_path / "set" / "below" / "..", tmp_path / "link"):
        assert (
            inside("a.jpg", root) == inside(f"{root}/a.jpg", root) == inside(f"{tmp_path}/set/a.jpg", root) == "a.jpg"
        )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Train/Images/x.jpg", "Train/Images/x.jpg"),
        ("train/images/X.JPG", "Train/Images/x.jpg"),
        ("train", "Train"),
        ("train/images/y.jpg", None),
        ("absent/x.jpg", None),
        ("two/a", "two/a"),
        ("two/A", "two/A"),
        ("TWO/a", "two/a"),
        ("n" * 300, None),
        ("n/" * 2000 + "x.jpg", None),
        ("a\0b", None),
        ("", "."),
    ],
)
def test_a_tree_is_searched_as_written_and_then_in_any_case(tmp_path, name, found):
    touch(tmp_path, "Train/Images/x.jpg", "two/a", "two/A")
    assert Tree(tmp_path).find(name) == (None if found is None else tmp_path / found)


def test_of_several_that_differ_in_case_none_is_meant(tmp_path):
    touch(tmp_path, "ab", "AB")
    assert Tree(tmp_path).find("Ab") is None


def test_all_images_that_a_name_may_mean(tmp_path):
    touch(tmp_path, "x.png", "X.jpg", "x.jpg", "x.jpg.jpg", "x.xml", "sub/x.tif")
    finder = ImageFinder(tmp_path)
    assert [path.name for path in finder.all_of("x")] == ["x.jpg", "x.png", "X.jpg"]
    assert [path.name for path in finder.all_of("x.jpg")] == ["x.jpg", "x.jpg.jpg", "x.png", "X.jpg"]
    assert finder.find("SUB/X") == tmp_path / "sub" / "x.tif"
    assert finder.all_of("") == finder.all_of("absent/x") == []


def test_files_below_are_sorted_and_not_hidden(tmp_path):
    touch(tmp_path, "b/c.jpg", "a.txt", ".hidden", "b/.x.jpg", ".git/x.jpg")
    (tmp_path / "around").symlink_to(tmp_path)
    assert files_below(tmp_path) == ["a.txt", "b/c.jpg"]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    for name in ("a.jpg", "sub/b.PNG", ".hidden.jpg", ".trash/c.jpg", "sub/.thumbnails/deep/d.jpg", "sub/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert images_below(tmp_path) == ["a.jpg", "sub/b.PNG"]


def test_links_to_folders_are_followed_where_their_name_is_a_folders_of_a_set(tmp_path):
    touch(tmp_path, "store/a.jpg", "set/b.jpg")
    for name in ("Train", "backup"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store")
    (tmp_path / "store" / "train").symlink_to(tmp_path)
    assert files_below(tmp_path / "set", ("train",)) == ["Train/a.jpg", "b.jpg"]
