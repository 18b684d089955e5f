"""Options of the download: each changes what is fetched, how patiently, or what is left of it."""

import hashlib
import io
import tarfile
import threading
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from wires import Call

from detection.commands import download_voc
from detection.data.downloads import Archive, download_archives


def _tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("VOCdevkit/a.txt"))
    return content.getvalue()


TAR = _tar()
ARCHIVE = Archive("a.tar", hashlib.md5(TAR).hexdigest(), "VOCdevkit/a.txt")
# Seconds until the server answers under /slow.
SLOW = 0.5


class _Handler(BaseHTTPRequestHandler):
    """Has the archive under /right and, after a while, under /slow; is never ready under /busy."""

    def do_GET(self):
        if self.path == "/slow/a.tar":
            threading.Event().wait(SLOW)
        if self.path not in ("/right/a.tar", "/slow/a.tar"):
            self.send_error(503)
            return
        with suppress(ConnectionError):  # who asked has given up
            self.send_response(200)
            self.send_header("Content-Length", str(len(TAR)))
            self.end_headers()
            self.wfile.write(TAR)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def places():
    """{server}: the address of a server on the loopback."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield {"server": f"http://127.0.0.1:{http.server_port}"}
    http.shutdown()
    http.server_close()


def fetched(place, *given, change):
    return Call("download_voc", ("--root={out}/data", f"--address={{server}}/{place}", *given), (change,))


ONCE = ("--download.retries=0", "--download.wait=0")
WIRES = {
    "download_voc --root": fetched("right", change="--root={out}/elsewhere"),
    "download_voc --address": fetched("right", *ONCE, change="--address={server}/busy"),
    "download_voc --keep": fetched("right", change="--keep=true"),
    "download_voc --download.retries": fetched("busy", *ONCE, change="--download.retries=2"),
    "download_voc --download.wait": fetched("busy", "--download.retries=1", change="--download.wait=7"),
    "download_voc --download.timeout": fetched("slow", *ONCE, change="--download.timeout=0.1"),
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, places, check_call, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download_voc, "download_archives", partial(download_archives, archives=(ARCHIVE,)))
    monkeypatch.setattr("detection.data.downloads.time.sleep", lambda seconds: print(f"waits {seconds}"))
    check_call(WIRES[name].at(places))
