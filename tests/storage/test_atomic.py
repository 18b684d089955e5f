import json
import os
import stat
import subprocess
import sys

import pytest

from detection.storage import atomic_path, read_json, read_yaml, write_json, write_text, write_yaml
from detection.storage.atomic import remove_leftovers


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_new_file_with_its_folders(tmp_path):
    target = tmp_path / "a" / "b" / "result.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".tmp-")
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(target.parent) == ["result.txt"]


def test_a_crash_keeps_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["result.txt"]


def test_an_interrupt_keeps_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def interrupt():
        with atomic_path(target):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["result.txt"]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX signal")
def test_a_killed_process_keeps_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from detection.storage import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(target)], timeout=60, check=False)
    assert run.returncode == -9
    assert target.read_text() == "old"
    assert all(name == "result.txt" or name.startswith(".tmp-") for name in names(tmp_path))
    write_text(target, "new")
    assert target.read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
def test_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "atomic", "")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_text_is_utf8_with_unix_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "é\n猫\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n猫\n".encode()


def test_json_keeps_every_digit_and_letter(tmp_path):
    value = {"b": [0.1, 1 / 3, 1e-300, -0.0], "a": {"é": None, "n": 2**60, "yes": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert list(read_json(tmp_path / "a.json")) == ["b", "a"]
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_json_refuses_what_is_not_json_and_keeps_the_old_file(tmp_path, bad):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", [bad])
    assert read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_broken_json_names_the_file(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json: expected JSON, got"):
        read_json(path)


def test_yaml_keeps_order_and_letters(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"é": "猫", "text": "1"}}
    write_yaml(tmp_path / "a.yaml", value)
    assert read_yaml(tmp_path / "a.yaml") == value
    assert list(read_yaml(tmp_path / "a.yaml")) == ["b", "a"]
    assert "猫" in (tmp_path / "a.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["a: [1", "!!python/object/apply:os.getcwd []", "a: b: c"])
def test_broken_or_active_yaml_names_the_file(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"broken\.yaml: expected YAML, got"):
        read_yaml(path)


def test_yaml_of_bytes_that_are_no_text(tmp_path):
    (tmp_path / "broken.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"broken\.yaml: expected UTF-8 text, got"):
        read_yaml(tmp_path / "broken.yaml")


def test_strings_are_taken_as_paths(tmp_path):
    write_json(str(tmp_path / "a.json"), [1])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert read_json(str(tmp_path / "a.json")) == [1]


KILLED = """
import os, signal, sys
from pathlib import Path
from detection.storage import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    print(temporary, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX signal")
def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a.txt")], capture_output=True, text=True, timeout=60, check=False
    )
    killed = tmp_path / run.stdout.strip().split("/")[-1]
    old, young, far = tmp_path / ".tmp-abc.txt", tmp_path / ".tmp-abd.txt", tmp_path / ".tmp-00000000-1-x"
    folder = tmp_path / ".tmp-detector"
    for path in (old, young, far):
        path.touch()
    folder.mkdir()
    (folder / "x").touch()
    for path in (old, folder):
        os.utime(path, (1, 1))
    with atomic_path(tmp_path / "b.txt") as mine:
        assert killed.exists()
        remove_leftovers(tmp_path, of_others=False)
        assert not killed.exists()
        assert {old, young, far, folder, mine} <= set(tmp_path.iterdir())
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {mine.name, young.name, far.name}
    remove_leftovers(tmp_path / "none")


def test_a_durable_file_reaches_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr("detection.storage.atomic.sync", lambda path: done.append(path.name))
    monkeypatch.setattr("os.replace", lambda *paths: (done.append("moved"), replace(*paths)))
    write_text(tmp_path / "a.txt", "a", durable=True)
    assert done[0].startswith(".tmp-")
    assert done[1:] == ["moved", tmp_path.name]
    monkeypatch.undo()
    write_text(tmp_path / "a.txt", "b", durable=True)
    assert (tmp_path / "a.txt").read_text() == "b"


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    """The new content is another file in its place, not written into the old one."""
    target = tmp_path / "result.txt"
    target.write_text("old content")
    with target.open("rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        write_text(target, "new")
        assert reader.read() == b" content"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["result.txt"]
