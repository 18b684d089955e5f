"""The page on photos and classes whose names are markup, addresses, or what no field shows."""

import os

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from detection.data import Problems
from detection.data.formats.voc_xml import read_annotation
from detection.labelling.teacher import Suggestion
from tests.labelling.pages import Page, said_nothing

MARKUP = '<img src=x onerror="window.hacked=1">'
PHOTOS = (
    MARKUP,
    "x<script>window.hacked=1</script>",
    "\"double\" 'single' `back`",
    "a & b &amp; c",
    "#1",
    "?number=1",
    "%41",
    "A",
    "%2e%2e%2f",
    "javascript:window.hacked=1",
    "${window.hacked=1}",
    "two  blanks ",
    "naïve кошка 猫 🐈",
    "sub dir/<b>bold",
    "\u202eturned",
)  # fmt: skip
# Windows has no such names.
if os.name != "nt":
    PHOTOS += ("line\nfeed", "tab\there", "carriage\rreturn")
CLASSES = (MARKUP, "</li><script>window.hacked=1</script>", "\"'&amp;")


@pytest.fixture
def folder(tmp_path):
    """The photos, each of a width of its own, and one that cannot be read."""
    folder = tmp_path / "photos"
    for place, name in enumerate(PHOTOS):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100 + place, 80), (200, 40, 10 * place)).save(path)
    (folder / f"unreadable {MARKUP}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def page(browser, folder, serve_folder, teacher):
    teacher.found = (Suggestion(MARKUP, (1.0, 1.0, 60.0, 20.0), 0.9, False),)
    teacher.reason = f"uncertain: {MARKUP} 50 %"
    page = Page(browser, serve_folder(folder))
    with said_nothing(browser):
        page.open(0)
        yield page
        assert browser.execute_script("return window.hacked") is None


WIDTH = """
    const done = arguments[0], image = new Image();
    image.onload = () => done(image.naturalWidth);
    image.onerror = () => done(null);
    image.src = document.getElementById("picture").getAttribute("href");
"""


def names_of(page):
    """What the field of names offers, in order."""
    return page.driver.execute_script("return Array.from(document.querySelectorAll('#names option'), one => one.value)")


def ask(page, name):
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
    page.driver.execute_script(script, page.get("name"), name)


def written(page):
    """What stands on the boxes."""
    script = "return Array.from(document.querySelectorAll('#world text'), one => one.textContent)"
    return page.driver.execute_script(script)


def test_each_photo_is_found_by_name_shown_and_saved_under_its_name(page, folder):
    offered = names_of(page)
    assert len(set(offered)) == len(PHOTOS) + 1
    widths = {}
    for place, name in enumerate(offered):
        ask(page, name)
        page.wait(lambda place=place: page.driver.current_url.endswith(f"#{place}"))
        assert page.text("name", "value") == name
        if page.get("fault").is_displayed():
            assert MARKUP in page.text("fault")
            page.get("whole").click()
            continue
        widths[place] = page.driver.execute_async_script(WIDTH)
        page.name_class(CLASSES[place % len(CLASSES)])
        page.keys("n")
        page.settled()
    assert sorted(widths.values()) == [100 + place for place in range(len(PHOTOS))]
    for place, width in widths.items():
        path = folder / f"{PHOTOS[width - 100]}.xml"
        found = read_annotation(path, Problems())
        assert [one.name for one in found.objects] == [CLASSES[place % len(CLASSES)]]
        assert found.size == (80, width)
    assert len(list(folder.rglob("*.xml"))) == len(PHOTOS)


def test_classes_suggestions_and_reasons_are_text(page, folder):
    page.name_class(CLASSES[1])
    page.drag((30, 30), (80, 60))
    page.settled()
    page.keys(Keys.ESCAPE)
    page.painted()
    assert len(page.suggested()) == 1
    assert f"{MARKUP} 90 %, suggested" in page.text("boxes")
    assert sorted(written(page)) == sorted([CLASSES[1], f"{MARKUP} 90 %"])
    page.drag((30, 62), (50, 76))
    page.settled()
    assert written(page).count(CLASSES[1]) == 2  # the chosen one, too narrow for it
    page.keys(Keys.ESCAPE)
    page.painted()
    (cut,) = [one for one in written(page) if one.endswith("…")]
    assert CLASSES[1].startswith(cut[:-1])
    page.keys("a")
    page.settled()
    path = folder / f"{sorted(PHOTOS)[0]}.xml"
    assert [one.name for one in read_annotation(path, Problems()).objects] == [CLASSES[1], CLASSES[1], MARKUP]
    page.wait(lambda: page.text("doing") == "up to date")
    page.keys("t")
    page.wait(lambda: page.text("why") == f"uncertain: {MARKUP} 50 %")
