import json
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from detection.storage import lock
from detection.storage.lock import LockedError, brief_lock, folder_lock
from detection.storage.processes import machine, process_started

# Takes the lock, says so, and waits for a line.
HOLDER = """
import sys
from detection.storage.lock import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold(tmp_path):
    """``hold()``: another process that holds the lock of tmp_path / "run"; a line ends it."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def refused(folder):
    with pytest.raises(LockedError) as error, folder_lock(folder):
        pass
    return str(error.value)


def write_owner(folder, **facts):
    """A lock file as an owner that is gone leaves it."""
    folder.mkdir()
    text = {**lock._own_record(), "process": 2**22 + 1, "process_started": "1", **facts}
    (folder / ".lock").write_text(json.dumps(text))


def test_the_lock_is_gone_afterwards_and_with_it_a_folder_without_anything(tmp_path):
    with folder_lock(tmp_path / "run"):
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert not (tmp_path / "run").exists()
    with folder_lock(tmp_path / "run"):
        (tmp_path / "run" / "result").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]
    with pytest.raises(KeyError), folder_lock(tmp_path / "run"):
        raise KeyError
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"]


def test_a_second_process_is_told_who_has_it(tmp_path, hold):
    owner = hold()
    told = refused(tmp_path / "run")
    assert f"process {owner.pid} on {platform.node()} since 20" in told
    assert str(tmp_path / "run") in told
    assert "wait until it is done, stop it, or use another folder" in told
    assert "delete" not in told
    owner.communicate("\n", timeout=30)
    with folder_lock(tmp_path / "run"):
        assert f'"process": {os.getpid()}' in (tmp_path / "run" / ".lock").read_text()


def test_this_process_has_it_once(tmp_path):
    with folder_lock(tmp_path):
        assert f"process {os.getpid()} on" in refused(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX signal")
def test_it_ends_with_a_killed_owner(tmp_path, hold):
    owner = hold()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert json.loads((tmp_path / "run" / ".lock").read_text())["process"] == owner.pid
    with folder_lock(tmp_path / "run"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"process": null}'])
def test_a_damaged_text_without_an_owner_holds_nobody_up_for_long(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    os.utime(tmp_path / ".lock", (1, 1))
    with folder_lock(tmp_path):
        pass


class TestWithoutLocksOfTheFileSystem:
    """The text and the process decide."""

    @pytest.fixture(autouse=True)
    def _no_locks(self, monkeypatch):
        monkeypatch.setattr(lock, "_lock", lambda _: None)
        monkeypatch.setattr(lock, "_SETTLED", 0.0)

    def test_a_process_that_runs(self, tmp_path, hold):
        owner = hold()
        assert f"process {owner.pid} " in refused(tmp_path / "run")
        owner.kill()
        owner.wait()
        with folder_lock(tmp_path / "run"):
            pass

    def test_a_number_that_another_process_has_now(self, tmp_path):
        write_owner(tmp_path / "run", process=os.getpid(), process_started="before")
        with folder_lock(tmp_path / "run"):
            pass

    def test_of_two_that_write_at_once_the_later_one_has_it(self, tmp_path, monkeypatch):
        def other_writes(_):
            (tmp_path / ".lock").write_text(json.dumps({**lock._own_record(), "process": 7}))

        monkeypatch.setattr(lock.time, "sleep", other_writes)
        assert "process 7 on" in refused(tmp_path)


class TestAnotherMachine:
    """Its signs of life decide."""

    @pytest.mark.parametrize("has_locks", [True, False])
    def test_recent_and_old_signs(self, tmp_path, monkeypatch, has_locks):
        if not has_locks:
            monkeypatch.setattr(lock, "_lock", lambda _: None)
            monkeypatch.setattr(lock, "_SETTLED", 0.0)
        write_owner(tmp_path / "run", machine="elsewhere", host="far")
        path, now = tmp_path / "run" / ".lock", time.time()
        os.utime(path, (now, now - lock.PATIENCE + 10))
        told = refused(tmp_path / "run")
        assert f"on far since 20{told.split('since 20')[1][:17]}" in told
        assert "last sign of life is 110 s old" in told or "last sign of life is 111 s old" in told
        assert f"dead after 120 s without one, and where you know that it is, delete {path}" in told
        os.utime(path, (now, now - lock.PATIENCE - 1))
        with folder_lock(tmp_path / "run"):
            pass

    def test_a_sign_of_the_future_counts_from_now_on(self, tmp_path):
        """As where the disk's clock was set back: it would hold for as long as that."""
        write_owner(tmp_path / "run", machine="elsewhere", host="far")
        path, now = tmp_path / "run" / ".lock", time.time()
        os.utime(path, (now, now + 86400))
        assert "last sign of life is 0 s old" in refused(tmp_path / "run")
        assert now - 1 < path.stat().st_mtime < now + 60
        os.utime(path, (now, path.stat().st_mtime - lock.PATIENCE - 1))
        with folder_lock(tmp_path / "run"):
            pass

    def test_another_container_of_the_same_kernel(self, tmp_path, monkeypatch):
        """The system's lock reaches it; where there is none, its processes have other numbers."""
        write_owner(tmp_path / "run", host="container", process=os.getpid())
        with folder_lock(tmp_path / "run"):
            pass
        write_owner(tmp_path / "other", host="container", process=os.getpid())
        monkeypatch.setattr(lock, "_lock", lambda _: None)
        assert "on container since" in refused(tmp_path / "other")


class TestSignsOfLife:
    """What the owner does while it has the lock."""

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch):
        monkeypatch.setattr(lock, "BEAT", 0.02)

    def test_they_are_given(self, tmp_path):
        with folder_lock(tmp_path):
            os.utime(tmp_path / ".lock", (1, 1))
            ends = time.monotonic() + 20
            while (tmp_path / ".lock").stat().st_mtime < 2 and time.monotonic() < ends:
                time.sleep(0.01)
            assert (tmp_path / ".lock").stat().st_mtime > time.time() - 60

    @pytest.mark.parametrize("how", ["removed", "written over"])
    def test_who_lost_it_stops(self, tmp_path, how):
        def lose():
            with folder_lock(tmp_path):
                (tmp_path / ".lock").unlink() if how == "removed" else (tmp_path / ".lock").write_text("{}")
                ends = time.monotonic() + 20
                while time.monotonic() < ends:
                    time.sleep(0.01)

        with pytest.raises(LockedError, match=r"\.lock: removed or taken over"):
            lose()
        assert (tmp_path / ".lock").exists() == (how != "removed")


def test_processes():
    started = process_started(os.getpid())
    assert started
    assert started == process_started(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    # Not waited for: it is a zombie in the end.
    while process_started(ended.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_started(ended.pid) is None
    ended.wait()
    assert process_started(ended.pid) is process_started(0) is process_started(-1) is None
    assert machine() == machine() != ""


LIMITED = """
import resource
from detection.storage.processes import address_space_left
assert address_space_left() is None
resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))
left = address_space_left()
assert 2**40 - 2**33 < left < 2**40 - 2**23, left
kept = bytearray(2**28)
assert 2**28 <= left - address_space_left() < 2**29
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells what is used")
def test_what_a_limit_leaves():
    subprocess.run([sys.executable, "-c", LIMITED], check=True)


def test_a_brief_lock_is_waited_for(tmp_path, monkeypatch):
    order = []

    def give_back(_):
        order.append("waited")
        held.close()

    path = tmp_path / "folder" / ".brief"
    path.parent.mkdir()
    held = path.open("w")
    assert lock._lock(held.fileno())
    monkeypatch.setattr(lock.time, "sleep", give_back)
    with brief_lock(path):
        order.append("held")
        assert path.exists()
    assert order == ["waited", "held"]
    assert not path.exists()


def test_a_brief_lock_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with (tmp_path / ".brief").open("w") as held:
        assert lock._lock(held.fileno())
        with pytest.raises(LockedError, match=r"\.brief: another process has held it"), brief_lock(tmp_path / ".brief"):
            pass


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("x")
    for folder in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(NotADirectoryError, match=f"{folder.name}: expected a folder.* a file is in the way"), (
            folder_lock(folder)
        ):  # fmt: skip
            pass


@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", os.mkdir), lambda path: os.symlink(os.devnull, path)])
def test_what_is_no_file_in_its_place_is_refused(tmp_path, make):
    """A pipe would be read for ever."""
    make(tmp_path / ".lock")
    for lock_it in (lambda: folder_lock(tmp_path), lambda: brief_lock(tmp_path / ".lock")):
        with (
            pytest.raises(ValueError, match=r"\.lock: expected a file, the lock of the folder, or none"),
            lock_it(),
        ):
            pass
    assert not (tmp_path / ".lock").is_file()


def test_a_damaged_lock_that_nobody_holds_is_taken(tmp_path):
    for number, content in enumerate((b"", b"\xff\x00", b"[1]", b"{}", b"[" * 200_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".lock").write_bytes(content)
        with folder_lock(folder):
            assert json.loads((folder / ".lock").read_text())["process"] == os.getpid()
