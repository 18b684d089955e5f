from detection.data.files import images_below


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    for name in ("a.jpg", "sub/b.PNG", ".hidden.jpg", ".trash/c.jpg", "sub/.thumbnails/deep/d.jpg", "sub/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert images_below(tmp_path) == ["a.jpg", "sub/b.PNG"]
