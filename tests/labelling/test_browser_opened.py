"""The browser that the program opens gets no secret on its command line."""

import os
import stat
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from detection.labelling.browser import in_browser
from tests.labelling.conftest import TOKEN
from tests.labelling.pages import Page, said_nothing


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser was started with."""
    found = []
    monkeypatch.setattr(webbrowser, "open", found.append)
    return found


def test_the_address_is_in_a_private_file_for_as_long_as_it_holds(opened, tmp_path):
    folder = tmp_path / "run & more" / "labelling"
    with in_browser('http://127.0.0.1:1/se-"cret/', folder):
        (given,) = opened
        assert "cret" not in given
        page = Path(unquote(urlsplit(given).path))
        assert "http://127.0.0.1:1/se-&quot;cret/" in page.read_text()
        if os.name != "nt":
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (page, page.parent)]
            assert modes == [0o600, 0o700]
        assert page.parent.parent == folder
    assert list(folder.iterdir()) == []


def test_it_goes_when_the_program_fails(opened, tmp_path):
    with pytest.raises(KeyboardInterrupt), in_browser("http://127.0.0.1:1/secret/", tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_it_leads_a_browser_to_the_page(browser, opened, photos, serve_folder, tmp_path):
    address = serve_folder(photos)
    page = Page(browser, address)
    with in_browser(address, tmp_path / "run"), said_nothing(browser):
        assert TOKEN not in opened[0]
        browser.get(opened[0])
        page.wait(lambda: browser.current_url == f"{address}#0")
        page.wait(lambda: page.text("name", "value") == "a")
