import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from detection.data import DownloadError, DownloadSettings, download_archives
from detection.data.downloads import VOC2007_ARCHIVES, Archive, fetch, unpack
from tests.loopback import Server

IMPATIENT = DownloadSettings(retries=3, wait=0.0, timeout=5.0)
CONTENT = np.random.default_rng(0).bytes(300_000)


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        server.files["/a.tar"] = CONTENT
        yield server


def get(server, tmp_path, sum_of=CONTENT, settings=IMPATIENT, **more):
    return fetch(f"{server.address}/a.tar", tmp_path / "a.tar", md5(sum_of), settings, **more)


def test_a_whole_file_with_progress(server, tmp_path):
    seen = []
    path = get(server, tmp_path, report=lambda *values: seen.append(values))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("fetching a.tar", len(CONTENT), len(CONTENT))
    assert server.asked == [None]
    get(server, tmp_path)
    assert len(server.asked) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("length", [True, False])
def test_a_cut_connection_is_resumed(server, tmp_path, length):
    server.cut_after, server.length = [100_000, 0, 50_000], True
    if not length:
        server.cut_after, server.length = [], False
    assert get(server, tmp_path).read_bytes() == CONTENT
    ranges = [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert server.asked == (ranges if length else [None])


def test_a_stopped_run_is_resumed(server, tmp_path):
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:1234])
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1234-"]


def test_a_run_stopped_at_the_last_byte(server, tmp_path):
    (tmp_path / "a.tar.part").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("old", [CONTENT[:1000][::-1], CONTENT + b"more"])
def test_a_part_of_something_else_is_thrown_away_once(server, tmp_path, old):
    (tmp_path / "a.tar.part").write_bytes(old)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] is None


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges, server.cut_after = False, [200_000, 1000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_a_server_without_ranges_that_always_cuts_is_given_up(server, tmp_path):
    server.ranges, server.cut_after = False, [1000] * 50
    with pytest.raises(DownloadError, match="given up at 1000 bytes after 4 failures"):
        get(server, tmp_path)
    assert len(server.asked) == 5


def test_an_answer_from_another_place_is_not_used(server, tmp_path):
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:1234])
    server.shift = 7
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1234-", None]


def test_a_wrong_md5_leaves_nothing(server, tmp_path):
    with pytest.raises(DownloadError, match=f"expected MD5 {md5(b'other')}, got {md5(CONTENT)}"):
        get(server, tmp_path, sum_of=b"other")
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


def test_passing_and_lasting_refusals(server, tmp_path):
    server.failures = [503, 429]
    assert get(server, tmp_path).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{server.address}/b.tar", tmp_path / "b.tar", md5(CONTENT), IMPATIENT)
    assert len(server.asked) == 4
    with pytest.raises(ValueError, match="expected http"):
        fetch((tmp_path / "a.tar").as_uri(), tmp_path / "c.tar", md5(CONTENT), IMPATIENT)


def test_nobody_answers(server, tmp_path):
    server.close()
    with pytest.raises(DownloadError, match="given up at 0 bytes after 4 failures"):
        get(server, tmp_path)


def tar_of(members):
    """A tar of (name, bytes) files, or (name, type, link name) of other kinds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, *rest in members:
            info = tarfile.TarInfo(name)
            if len(rest) == 1:
                info.size = len(rest[0])
                tar.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest
                tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "bad",
    [
        ("../out.txt", b"x"),
        ("a/../../out.txt", b"x"),
        ("/tmp/out.txt", b"x"),
        ("C:\\out.txt", b"x"),
        ("a\\..\\..\\out.txt", b"x"),
        ("link", tarfile.SYMTYPE, ".."),
        ("link", tarfile.LNKTYPE, "good.txt"),
        ("pipe", tarfile.FIFOTYPE, ""),
        ("device", tarfile.CHRTYPE, ""),
    ],
)
def test_a_hostile_tar_is_refused_before_anything_is_written(tmp_path, bad):
    (tmp_path / "a.tar").write_bytes(tar_of([("good.txt", b"x"), bad]))
    with pytest.raises(DownloadError, match=r"a\.tar: expected"):
        unpack(tmp_path / "a.tar", tmp_path / "folder")
    assert [item.name for item in tmp_path.iterdir()] == ["a.tar"]


def test_folders_of_a_tar_are_made(tmp_path):
    names = [".", "./a", "./a/empty"]
    (tmp_path / "a.tar").write_bytes(tar_of([*((name, tarfile.DIRTYPE, "") for name in names), ("./a/b.txt", b"x")]))
    seen = []
    unpack(tmp_path / "a.tar", tmp_path / "folder", lambda *done: seen.append(done))
    found = sorted(path.relative_to(tmp_path / "folder").as_posix() for path in (tmp_path / "folder").rglob("*"))
    assert found == ["a", "a/b.txt", "a/empty"]
    assert (tmp_path / "folder" / "a" / "b.txt").read_bytes() == b"x"
    assert seen == [("unpacking a.tar", index, 4) for index in range(1, 5)]


def test_a_link_in_the_folder_is_not_followed_out(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "VOCdevkit").symlink_to(tmp_path / "outside")
    (tmp_path / "a.tar").write_bytes(tar_of([("VOCdevkit/a.txt", b"x")]))
    if hasattr(tarfile, "data_filter"):
        with pytest.raises(DownloadError, match="stays below"):
            unpack(tmp_path / "a.tar", tmp_path / "folder")
        assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_is_no_tar(tmp_path):
    (tmp_path / "a.tar").write_bytes(CONTENT)
    with pytest.raises(DownloadError, match=r"a\.tar: expected a tar"):
        unpack(tmp_path / "a.tar", tmp_path / "folder")


def voc_archives(server):
    archives = []
    for split, other in (("trainval", "1"), ("test", "2")):
        holds = f"VOCdevkit/VOC2007/ImageSets/Main/{split}.txt"
        content = tar_of([(holds, b"000001\n"), (f"VOCdevkit/VOC2007/JPEGImages/{other}.jpg", CONTENT)])
        server.files[f"/voc/{split}.tar"] = content
        archives.append(Archive(f"{split}.tar", md5(content), holds))
    return tuple(archives)


def test_archives_are_fetched_unpacked_and_not_fetched_again(server, tmp_path):
    archives = voc_archives(server)
    server.cut_after = [1000, None, 5000]
    seen = set()
    more = {"settings": IMPATIENT, "report": lambda what, *_: seen.add(what)}
    download_archives(tmp_path, f"{server.address}/voc/", archives, **more)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "VOCdevkit/.test.tar.done",
        "VOCdevkit/.trainval.tar.done",
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt",
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt",
        "VOCdevkit/VOC2007/JPEGImages/1.jpg",
        "VOCdevkit/VOC2007/JPEGImages/2.jpg",
    ]
    assert (tmp_path / "VOCdevkit/VOC2007/JPEGImages/2.jpg").read_bytes() == CONTENT
    assert seen == {f"{verb} {name}.tar" for verb in ("fetching", "unpacking") for name in ("trainval", "test")}
    requests = len(server.asked)
    download_archives(tmp_path, f"{server.address}/voc", archives, **more)
    assert len(server.asked) == requests
    (tmp_path / archives[1].holds).unlink()
    download_archives(tmp_path, f"{server.address}/voc", archives, keep=True, **more)
    assert len(server.asked) == requests + 1
    assert (tmp_path / archives[1].holds).is_file()
    assert (tmp_path / "VOCdevkit" / "test.tar").is_file()


def test_an_archive_without_what_it_should_hold(server, tmp_path):
    server.files["/x.tar"] = tar_of([("a.txt", b"x")])
    archive = Archive("x.tar", md5(server.files["/x.tar"]), "VOCdevkit/list.txt")
    with pytest.raises(DownloadError, match=r"expected it to hold VOCdevkit/list\.txt"):
        download_archives(tmp_path, server.address, (archive,), IMPATIENT)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="timeout > 0"):
        DownloadSettings(timeout=0)


def test_the_official_archives():
    assert [(archive.name, archive.md5) for archive in VOC2007_ARCHIVES] == [
        ("VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
        ("VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
    ]


def test_the_tool_tells_what_went_wrong(server, tmp_path):
    tool = Path(__file__).resolve().parents[2] / "tools" / "download_voc.py"
    server.files["/VOCtrainval_06-Nov-2007.tar"] = CONTENT
    found = subprocess.run(
        [sys.executable, str(tool), "--root", str(tmp_path / "voc"), "--address", server.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert f"got {md5(CONTENT)}" in found.stderr
    assert "Traceback" not in found.stderr
