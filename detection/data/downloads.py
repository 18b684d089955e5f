"""Pascal VOC 2007 from its official archives: resumed, checked by MD5, unpacked inside its folder alone."""

import hashlib
import http.client
import os
import re
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from detection.data.files import stays_inside
from detection.storage import write_text

VOC2007_ADDRESS = "http://host.robots.ox.ac.uk/pascal/VOC/voc2007"

# (what, bytes or files done, all of them or None if not known)
Report = Callable[[str, int, int | None], None]

_CHUNK = 2**20
_RANGE_NOT_SATISFIABLE = 416
# Answers after which another try may succeed (RFC 9110, 6585).
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_NETWORK_ERRORS = (OSError, http.client.HTTPException)


class DownloadError(OSError):
    """A file could not be fetched, is not the one expected, or is not safe to unpack."""


@dataclass(frozen=True)
class Archive:
    """A tar file to fetch. name: its file name. md5: of its content. holds: one file it brings, FOLDER/.../FILE.

    size: bytes, 0 where that is not known.
    """

    name: str
    md5: str
    holds: str
    size: int = 0

    @property
    def folder(self) -> str:
        """The folder that it unpacks to."""
        return PurePosixPath(self.holds).parts[0]


@dataclass(frozen=True)
class DownloadSettings:
    """How patiently to download.

    Args:
        retries: Tries in a row that may fail without bringing a new byte before the download is given up.
        wait: Seconds before the next try.
        timeout: Seconds without an answer after which a connection counts as cut.
    """

    retries: int = 10
    wait: float = 3.0
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.retries < 0 or self.wait < 0 or self.timeout <= 0:
            raise ValueError(f"download: expected retries >= 0, wait >= 0 and timeout > 0, got {self}")


# The sums that torchvision's VOC reader checks too (torchvision/datasets/voc.py).
VOC2007_ARCHIVES = (
    Archive(
        "VOCtrainval_06-Nov-2007.tar",
        "c52e279531787c972589f7e41ab4ae64",
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt",
        460_032_000,
    ),
    Archive(
        "VOCtest_06-Nov-2007.tar",
        "b6e924de25625d8de591ea690078ad9f",
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt",
        451_020_800,
    ),
)
DEFAULT_SETTINGS = DownloadSettings()


def _silent(what: str, done: int, total: int | None) -> None:
    """Report nothing."""


def download_archives(
    root: Path | str,
    address: str = VOC2007_ADDRESS,
    archives: tuple[Archive, ...] = VOC2007_ARCHIVES,
    settings: DownloadSettings = DEFAULT_SETTINGS,
    keep: bool = False,
    report: Report = _silent,
) -> None:
    """Fetch archives from ADDRESS/NAME and unpack them in `root`. What is done is not done again.

    The archives lie in the folder that they unpack to, with a small mark NAME.done for each that is unpacked.
    keep: leave them there afterwards. Raises DownloadError as `fetch` and `unpack` do.
    """
    root = Path(root)
    for archive in missing_archives(root, archives):
        path = root / archive.folder / archive.name
        fetch(f"{address.rstrip('/')}/{archive.name}", path, archive.md5, settings, report)
        unpack(path, root, report)
        if not (root / archive.holds).is_file():
            raise DownloadError(f"{path}: expected it to hold {archive.holds}, which is not there")
        write_text(_mark(root, archive), archive.md5 + "\n")
        if not keep:
            path.unlink()


def missing_archives(root: Path | str, archives: tuple[Archive, ...] = VOC2007_ARCHIVES) -> tuple[Archive, ...]:
    """Those that are not unpacked in `root` yet."""
    return tuple(one for one in archives if not _is_unpacked(Path(root), one))


def _mark(root: Path, archive: Archive) -> Path:
    return root / archive.folder / f".{archive.name}.done"


def _is_unpacked(root: Path, archive: Archive) -> bool:
    mark = _mark(root, archive)
    return (root / archive.holds).is_file() and mark.is_file() and mark.read_text().strip() == archive.md5


def fetch(
    url: str,
    path: Path,
    digits: str,
    settings: DownloadSettings = DEFAULT_SETTINGS,
    report: Report = _silent,
    algorithm: str = "md5",
) -> Path:
    """Download one file, going on where an earlier try or run stopped (PATH.part); its path.

    digits: hexadecimal ones that the file's sum by `algorithm` (of hashlib) begins with. A server that ignores ranges
    sends all of it again. A file with another sum is thrown away, and once fetched anew, from its start, if a part of
    it came from an earlier run. A file that is there already with the right sum is taken. Raises DownloadError after
    too many failures or for a wrong sum, ValueError for an address that is not http or https.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"address: expected http:// or https://, got {url!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and _sum(path, algorithm).startswith(digits):
        return path
    part = path.with_name(path.name + ".part")
    resumed = part.is_file()
    while True:
        _fetch_part(url, part, settings, report)
        found = _sum(part, algorithm)
        if found.startswith(digits):
            os.replace(part, path)
            return path
        part.unlink()
        if not resumed:
            raise DownloadError(f"{url}: expected {algorithm.upper()} {digits}, got {found}")
        resumed = False


def unpack(path: Path, folder: Path, report: Report = _silent) -> None:
    """Unpack a tar file of plain files and folders below `folder`.

    Raises DownloadError, before anything is written, for a member that is a link or a device or whose path would
    leave the folder, and for a file that is not a whole tar.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
            for member in members:
                if member.name != "." and not stays_inside(member.name):
                    raise DownloadError(f"{path}: expected paths below the folder, got {member.name!r}")
                if not (member.isreg() or member.isdir()):
                    raise DownloadError(
                        f"{path}: expected plain files and folders, got a link or device {member.name!r}"
                    )
            # Python's own filter too, which also sees links that lie in the folder; 3.11.4 was the first to have it.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            for index, member in enumerate(members, start=1):
                tar.extract(member, folder)
                report(f"unpacking {path.name}", index, len(members))
    except tarfile.TarError as error:
        raise DownloadError(f"{path}: expected a tar that stays below {folder}, got {error}") from error


def _sum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


class _CutError(Exception):
    """A try that failed, after which another may succeed."""


def _fetch_part(url: str, part: Path, settings: DownloadSettings, report: Report) -> None:
    """Fetch until `part` has all bytes that the server announces, through cut connections."""
    furthest, failures = _size(part), 0
    while True:
        try:
            _one_try(url, part, settings.timeout, report)
            return
        except _CutError as error:
            reached, problem = _size(part), error
        failures = 0 if reached > furthest else failures + 1
        furthest = max(furthest, reached)
        if failures > settings.retries:
            raise DownloadError(f"{url}: given up at {reached} bytes after {failures} failures in a row: {problem}")
        time.sleep(settings.wait)


def _one_try(url: str, part: Path, timeout: float, report: Report) -> None:
    """Ask once for what is missing. Raises _CutError where it did not all come; a disk's errors are the caller's."""
    offset = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={offset}-"} if offset else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        _check_refusal(url, part, offset, error)
        return
    except _NETWORK_ERRORS as error:
        raise _CutError(str(error)) from error
    with response:
        start, total = _range_of(response)
        if start not in (0, offset):
            part.unlink(missing_ok=True)
            raise _CutError(f"asked for bytes from {offset}, got them from {start}")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in _chunks(response):
                file.write(chunk)
                report(f"fetching {part.stem}", file.tell(), total)
    reached = _size(part)
    if total is not None and reached != total:
        if reached > total:
            part.unlink()
        raise _CutError(f"connection closed at {reached} of {total} bytes")


def _check_refusal(url: str, part: Path, offset: int, error: urllib.error.HTTPError) -> None:
    """Raise for an error answer, unless it means that there is nothing beyond `offset`."""
    if error.code == _RANGE_NOT_SATISFIABLE and offset:
        announced = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if announced is None or int(announced[1]) == offset:
            return
        part.unlink()
        raise _CutError(f"{offset} bytes are more than the file's {announced[1]}")
    raise (_CutError(str(error)) if error.code in _TEMPORARY else DownloadError(f"{url}: {error}")) from error


def _range_of(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """(first byte, bytes of the whole file or None) of an answer."""
    if response.status == http.client.PARTIAL_CONTENT:
        announced = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if announced is None:
            return -1, None
        return int(announced[1]), None if announced[2] == "*" else int(announced[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length and length.isdecimal() else None


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body of an answer. Raises _CutError where it is cut short."""
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except _NETWORK_ERRORS as error:
        raise _CutError(str(error)) from error
