"""The page in a browser, without a word of its address to other users of the machine."""

import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from detection.storage.atomic import temporary_prefix

_LEADS = (
    '<!doctype html><meta charset="utf-8"><title>Labelling</title><meta http-equiv="refresh" content="0; url={0}">'
    '<a href="{0}">The page</a>\n'
)


@contextmanager
def in_browser(address: str, folder: Path) -> Iterator[None]:
    """Open a secret address in a browser, by a file in a new folder below `folder` that is there as long as this lasts.

    Only their owner may read both. What a program is started with everybody on the machine can list: it is the file's
    name, not the address that the file leads to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not in /tmp: browsers that are packed with a file system of their own see another one.
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(), dir=folder) as private:
        page = Path(private).resolve() / "page.html"
        page.touch(mode=0o600)
        page.write_text(_LEADS.format(escape(address)), encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield
