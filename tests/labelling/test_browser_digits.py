"""Ten photos of digits, labelled in the page from the first box on: what is suggested well is accepted, the rest drawn.

The first box, the first suggestion and the tenth photo make one picture, which ``STRIP=docs/labelling.jpg`` keeps.
"""

import io
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from detection.data import Problems
from detection.data.digits import write_digits
from detection.data.formats.voc_xml import read_annotation
from detection.geometry import iou
from tests.labelling.pages import Page, Program, said_nothing

PHOTOS, SIZE, GAP, MOST_BYTES = 10, (420, 620), 10, 200_000
# IoU of a suggestion with an object from which on it is accepted.
CLOSE = 0.6


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "VOCdevkit", trainval=PHOTOS, test=1) / "VOC2007"


@pytest.fixture
def program(devkit, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(devkit / "JPEGImages", folder)
    found = Program(folder, tmp_path / "run", options=("--browser=false",))
    yield found
    found.end(signal.SIGKILL)


@pytest.fixture
def page(browser, program):
    page = Page(browser, program.address)
    with said_nothing(browser):
        yield page


def overlaps(boxes, others):
    return iou(np.array(boxes).reshape(-1, 4), np.array(others).reshape(-1, 4))


def accept_good_ones(page, left):
    """Accept what lies well on an object; the objects of `left` that this leaves."""
    for box in page.suggested():
        overlap = overlaps(box, left)[0]
        if overlap.max(initial=0) < CLOSE:
            continue
        page.choose(box)
        page.keys(Keys.ENTER)
        page.settled()
        return accept_good_ones(page, [one for row, one in enumerate(left) if row != overlap.argmax()])
    return left


def strip(pictures, path):
    shown = [Image.open(io.BytesIO(one)).convert("RGB") for one in pictures]
    whole = Image.new("RGB", (sum(one.width + GAP for one in shown) - GAP, shown[0].height), "white")
    for place, one in enumerate(shown):
        whole.paste(one, (place * (one.width + GAP), 0))
    whole.save(path, quality=85)


def test_ten_photos(page, program, devkit, tmp_path):
    pictures, drawn = {}, []
    for number, photo in enumerate(sorted(program.folder.glob("*.jpg"))[:PHOTOS]):
        truth = [one.box for one in read_annotation(devkit / "Annotations" / f"{photo.stem}.xml", Problems()).objects]
        page.open(number, SIZE)
        page.wait(lambda: "more are looked for" not in page.text("found"))
        page.painted()
        if page.suggested():
            pictures.setdefault("first suggestion", page.driver.get_screenshot_as_png())
        if number == PHOTOS - 1:
            pictures["tenth photo"] = page.driver.get_screenshot_as_png()
        left = accept_good_ones(page, truth)
        for x1, y1, x2, y2 in left:
            page.keys(Keys.ESCAPE)
            if not drawn:
                page.name_class("digit")
            page.drag((x1, y1), (x2, y2))
            page.settled()
            pictures.setdefault("first box", page.driver.get_screenshot_as_png())
            drawn.append(number)
        page.keys("c")
        page.settled()
        objects = program.objects(photo.stem)
        assert [name for name, _ in objects] == ["digit"] * len(truth)
        assert (overlaps(truth, [box for _, box in objects]).max(axis=1) >= CLOSE).all()
        print(f"{photo.name}: {len(truth)} digits, {len(left)} drawn")
    assert {0, 1} <= set(drawn)
    picture = Path(os.environ.get("STRIP", tmp_path / "strip.jpg"))
    strip([pictures[one] for one in ("first box", "first suggestion", "tenth photo")], picture)
    assert picture.stat().st_size <= MOST_BYTES
