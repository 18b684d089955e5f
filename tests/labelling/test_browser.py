"""The page in a browser, with the program behind it: drawn by pointer and keys, learned, accepted, killed, gone on."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.keys import Keys

from detection.data import Problems
from detection.data.formats.voc_xml import read_annotation
from detection.geometry import iou
from detection.labelling.marks import MarksFile
from tests.labelling.pages import PHONE, WIDE, Page, Program, said_nothing


@pytest.fixture(scope="module")
def truth(shape_photos):
    """Photo -> its objects, of those that have an XML."""
    return {
        path.stem: [(one.name, one.box) for one in read_annotation(path, Problems()).objects]
        for path in sorted(shape_photos.glob("*.xml"))
    }


@pytest.fixture(scope="module")
def program(shape_photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    for photo in shape_photos.glob("*.jpg"):
        shutil.copy(photo, folder)
    (folder / "zz.jpg").write_bytes(b"no picture")
    found = Program(folder, tmp_path_factory.mktemp("program") / "run")
    yield found
    if found.process.poll() is None:
        found.end(signal.SIGKILL)


@pytest.fixture
def page(browser, program):
    """The page; the test fails if the console had a word."""
    with said_nothing(browser):
        yield Page(browser, program.address)


def number_of(program, name):
    return sorted(one.stem for one in program.folder.glob("*.jpg")).index(name)


def same(found, expected, least=0.85):
    """Whether boxes are where others are, of the same classes."""
    if [name for name, _ in found] != [name for name, _ in expected]:
        return False
    pairs = zip(found, expected, strict=True)
    return all(iou(np.array([one[1]]), np.array([other[1]]))[0, 0] >= least for one, other in pairs)


class TestInOrder:
    """Each goes on from what the one before has left."""

    def test_boxes_are_drawn_by_pointer_and_are_in_the_files(self, page, program, truth):
        for name in ("train0", "train1", "train2", "train4", "train5"):
            page.open(number_of(program, name))
            for label, (x1, y1, x2, y2) in truth[name]:
                page.keys(Keys.ESCAPE)
                page.name_class(label)
                page.keys(Keys.ESCAPE)
                page.drag((x1, y1), (x2, y2))
                page.settled()
            assert same(program.objects(name), truth[name])
            drawn = [box for _, box in program.objects(name)]
            np.testing.assert_allclose(page.drawn(), drawn, atol=1e-3)
            page.keys("c")
            page.settled()
        marks = MarksFile(program.run / "labelling" / "photos.json")
        assert marks.of("train0", False).complete

    def test_undone_and_done_again_by_keys(self, page, program):
        page.open(number_of(program, "train6"))
        page.name_class("box")
        page.drag((10, 10), (60, 50))
        page.settled()
        first = program.objects("train6")
        page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        page.settled()
        page.wait(lambda: np.allclose(program.objects("train6")[0][1], np.add(first[0][1], (2, 0, 2, 0)), atol=1e-3))
        page.held("z", Keys.CONTROL)
        page.held("z", Keys.CONTROL)
        page.wait(lambda: program.objects("train6") == first)
        page.held("z", Keys.CONTROL)
        page.wait(lambda: program.objects("train6") == [])
        page.held("z", Keys.CONTROL, Keys.SHIFT)
        page.wait(lambda: program.objects("train6") == first)

    def test_a_corner_is_moved_and_the_box_removed(self, page, program):
        page.open(number_of(program, "train6"))
        ((_, (x1, y1, x2, y2)),) = program.objects("train6")
        page.click((x1 + 5, y1 + 5))
        page.drag((x2, y2), (x2 + 30, y2 + 20))
        page.settled()
        ((_, moved),) = program.objects("train6")
        np.testing.assert_allclose(moved, (x1, y1, x2 + 30, y2 + 20), atol=1)
        page.drag((x1 + 5, y1 + 5), (x1 + 25, y1 + 5))
        page.settled()
        np.testing.assert_allclose(program.objects("train6")[0][1], np.add(moved, (20, 0, 20, 0)), atol=1)
        page.keys(Keys.DELETE)
        page.settled()
        assert program.objects("train6") == []

    def test_drawn_by_a_finger(self, page, program):
        page.open(number_of(program, "train6"), PHONE)
        page.name_class("box")
        page.drag((20, 20), (70, 60), POINTER_TOUCH)
        page.settled()
        np.testing.assert_allclose(program.objects("train6")[0][1], (20, 20, 70, 60), atol=1)

    def test_drawn_by_keys_alone(self, page, program):
        page.open(number_of(program, "train7"))
        page.keys("/")
        page.keys("disc", Keys.ENTER, "n")
        page.settled()
        ((name, (x1, y1, x2, y2)),) = program.objects("train7")
        assert name == "disc"
        page.held(Keys.ARROW_RIGHT, Keys.ALT)
        page.held(Keys.ARROW_DOWN, Keys.ALT)
        page.wait(lambda: np.allclose(program.objects("train7")[0][1], (x1, y1, x2 + 1, y2 + 1), atol=1e-3))
        page.keys(Keys.BACKSPACE)
        page.wait(lambda: program.objects("train7") == [])

    def test_suggestions_come_and_are_accepted_and_rejected(self, page, program):
        page.open(number_of(program, "test1"))
        page.wait(lambda: "more are looked for" not in page.text("found"))
        page.slide(2)
        page.wait(lambda: len(page.suggested()) > 1)
        page.get("stage").send_keys(Keys.TAB)
        page.keys(Keys.ENTER)
        page.settled()
        assert len(program.objects("test1")) == 1
        before = len(page.suggested())
        page.keys(Keys.TAB, Keys.DELETE)
        page.settled()
        assert len(program.objects("test1")) == 1
        assert len(page.suggested()) < before
        (rejected,) = MarksFile(program.run / "labelling" / "photos.json").of("test1", True).rejected
        assert rejected.name in ("box", "disc")

    def test_all_above_the_slider_are_accepted(self, page, program):
        page.open(number_of(program, "test2"))
        page.wait(lambda: "more are looked for" not in page.text("found"))
        page.slide(100)
        assert page.suggested() == []
        page.slide(2)
        shown = len(page.suggested())
        assert shown > 0
        page.keys("a")
        page.settled()
        assert 0 < len(program.objects("test2")) <= shown
        assert len(page.drawn()) == len(program.objects("test2"))

    def test_the_photo_that_teaches_most_has_a_reason(self, page, program):
        page.open(number_of(program, "train0"))
        page.wait(lambda: page.text("doing") == "up to date")
        page.keys("t")
        page.wait(lambda: page.text("why"))
        assert program.objects(page.text("name", "value")) == []

    def test_who_comes_second_is_told_and_loses_nothing(self, page, program):
        page.open(number_of(program, "train6"))
        path = program.folder / "train6.xml"
        path.write_text(path.read_text().replace("<name>box", "<name>by another program"))
        page.driver.get_log("browser")
        page.keys(Keys.ESCAPE)
        page.drag((90, 10), (120, 40))
        page.wait(lambda: "changed elsewhere" in page.text("status"))
        page.driver.get_log("browser")  # the 409 is told there, too
        assert [name for name, _ in program.objects("train6")] == ["by another program"]
        assert len(page.drawn()) == 1
        page.get("undo").click()
        page.wait(lambda: len(page.drawn()) == 2)
        page.wait(lambda: len(program.objects("train6")) == 2)

    def test_a_photo_that_cannot_be_read_is_a_card_with_the_reason(self, page, program):
        page.open(number_of(program, "zz"))
        assert page.get("fault").is_displayed()
        assert "unreadable image" in page.text("fault")
        page.keys(Keys.PAGE_UP)
        page.wait(lambda: page.text("name", "value") == "train7")
        assert page.get("stage").is_displayed()

    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("size", [WIDE, PHONE])
    def test_it_fits(self, page, program, size, dark, tmp_path):
        page.open(number_of(program, "train0"), size, dark)
        page.wait(lambda: page.text("measured"))
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= size[0]
        assert len(page.drawn()) == 2
        picture = tmp_path / "page.png"
        page.driver.save_screenshot(str(picture))
        if keep := os.environ.get("SCREENSHOTS"):
            shutil.copy(picture, Path(keep) / f"{size[0]}-{'dark' if dark else 'light'}.png")

    def test_killed_and_begun_again(self, page, program, browser):
        names = ("train0", "train1", "train6", "test1", "test2")
        before = {name: program.objects(name) for name in names}
        browser.get("about:blank")  # a page that is open tells the console that nobody answers
        program.end(signal.SIGKILL)
        program.begin()
        again = Page(browser, program.address)
        again.open(number_of(program, "train0"))
        assert len(again.drawn()) == 2
        assert {name: program.objects(name) for name in names} == before
        again.open(number_of(program, "test3"))
        again.slide(2)
        again.wait(again.suggested)

    def test_ended_it_leaves_a_detector(self, program):
        time.sleep(1)
        assert program.end(signal.SIGINT) == 130
        assert (program.run / "labelling" / "detector" / "detector.yaml").is_file()
