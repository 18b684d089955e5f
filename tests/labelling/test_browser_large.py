"""The page on a large photo with many boxes: what the file holds afterwards, and what is redrawn on the way.

``pytest -s`` prints how busy the page is in a frame of each drag.
"""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from detection.data import Problems
from detection.data.formats.voc_xml import annotation_xml, read_annotation
from detection.labelling.teacher import Suggestion
from tests.labelling.pages import Page, said_nothing

HEIGHT, WIDTH, BOXES, SUGGESTED = 3000, 4000, 500, 100
NAMES = ("bolt", "nut", "rivet", "screw", "washer")
# What of the photo's drawing is changed from now on (a box by its key, else its layer), and the frames that are shown.
WATCH = """
    window.seen = [];
    window.frames = 0;
    const note = ({ target, addedNodes }) =>
        window.seen.push([target.dataset.key ?? target.closest("[id]").id, addedNodes.length]);
    window.observer = new MutationObserver((all) => all.forEach(note));
    window.observer.observe(document.getElementById("stage"), { subtree: true, childList: true, attributes: true });
    const count = () => { window.frames += 1; window.request = requestAnimationFrame(count); };
    count();
"""
WATCHED = "cancelAnimationFrame(window.request); window.observer.disconnect(); return [window.frames, window.seen]"


def grid():
    """Five hundred boxes, 25 a row, each with free space around it."""
    corners = [(150 * (place % 25) + 40, 145 * (place // 25) + 40) for place in range(BOXES)]
    return [(NAMES[place % len(NAMES)], (x, y, x + 80, y + 70), False) for place, (x, y) in enumerate(corners)]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), np.uint8)
    Image.fromarray(pixels).resize((WIDTH, HEIGHT)).save(folder / "large.jpg", quality=80)
    (folder / "large.xml").write_text(annotation_xml("large.jpg", (HEIGHT, WIDTH), grid()), encoding="utf-8")
    return folder


@pytest.fixture
def page(browser, folder, serve_folder, teacher):
    inner = [(x1 + 30, y1 + 30, x2, y2) for _, (x1, y1, x2, y2), _ in grid()[: 5 * SUGGESTED : 5]]
    teacher.found = tuple(Suggestion("nut", box, 0.9, False) for box in inner)
    page = Page(browser, serve_folder(folder))
    with said_nothing(browser):
        page.open(0)
        yield page


def objects(folder):
    found = read_annotation(folder / "large.xml", Problems()).objects
    return [(one.name, one.box) for one in found]


def busy(page):
    """ms of processor time of the page so far: its code, styles, layout and painting."""
    page.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    values = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return 1000 * {one["name"]: one["value"] for one in values}["TaskDuration"]


@contextmanager
def watched(page, what):
    """{box or layer: nodes that were added to it} of what is changed meanwhile."""
    found = {}
    page.driver.execute_script(WATCH)
    before = busy(page)
    yield found
    after = busy(page)
    frames, seen = page.driver.execute_script(WATCHED)
    for name, added in seen:
        found[name] = found.get(name, 0) + added
    print(f"{what}: {frames} frames, {(after - before) / frames:.1f} ms a frame")


def test_a_box_is_drawn_another_moved_and_the_move_undone(page, folder):
    assert len(page.drawn()) == BOXES
    assert len(page.suggested()) == SUGGESTED
    before = objects(folder)
    page.name_class("nut")
    page.drag((1000, 1000), (1500, 1400))
    page.settled()
    *others, (name, box) = objects(folder)
    assert others == before
    assert name == "nut"
    np.testing.assert_allclose(box, (1000, 1000, 1500, 1400), atol=5)
    drawn = [*others, (name, box)]
    page.click((80, 75))
    page.drag((80, 75), (280, 175))
    page.settled()
    (name, moved), *rest = objects(folder)
    assert rest == drawn[1:]
    assert name == drawn[0][0]
    np.testing.assert_allclose(moved, np.add(drawn[0][1], (200, 100, 200, 100)), atol=5)
    page.held("z", Keys.CONTROL)
    page.wait(lambda: objects(folder) == drawn)
    page.painted()
    np.testing.assert_allclose(page.drawn(), [box for _, box in drawn], atol=1e-3)


def test_what_is_dragged_is_redrawn_and_nothing_else(page):
    page.click((80, 75))
    page.painted()
    (chosen,) = page.driver.execute_script("return [document.querySelector('rect.chosen').dataset.key]")
    page.press((80, 75))
    with watched(page, "a box is moved") as seen:
        page.glide([(1280, 975), (480, 1375)], milliseconds=1500)
    assert set(seen) == {chosen, "handles"}
    page.release()
    page.settled()
    page.keys(Keys.ESCAPE)
    page.painted()
    page.press((1000, 1000))
    with watched(page, "a box is drawn") as seen:
        page.glide([(1880, 1875), (3480, 1375)], milliseconds=1500)
    assert set(seen) == {"drawn", "handles"}
    assert seen["drawn"] == 1
    page.release()
    page.settled()
    ActionChains(page.driver).key_down(Keys.SPACE).perform()
    page.press((1000, 1000))
    with watched(page, "the photo is moved") as seen:
        page.glide([(1880, 1875), (1480, 1375)], milliseconds=1500)
    assert seen == {"world": 0}
    page.release()
    ActionChains(page.driver).key_up(Keys.SPACE).perform()


def test_a_frame_is_drawn_once_however_much_changes_in_it(page):
    before = busy(page)
    page.slide(40)
    print(f"one change: {busy(page) - before:.1f} ms")
    script = "for (let time = 0; time < 20; time++) arguments[0].dispatchEvent(new Event('input'))"
    with watched(page, "twenty changes") as seen:
        page.driver.execute_script(script, page.get("least"))
        page.painted()
    assert seen["drawn"] == BOXES
    assert seen["suggested"] == SUGGESTED


def test_what_is_being_drawn_stays_while_an_earlier_box_is_saved(page):
    page.press((1000, 1000))
    page.glide([(1400, 1300)])
    page.slide(40)
    assert len(page.drawn()) == BOXES + 1
    page.glide([(1500, 1400)])
    np.testing.assert_allclose(page.drawn()[-1], (1000, 1000, 1500, 1400), atol=5)
    page.release()
    page.settled()
    assert len(page.drawn()) == BOXES + 1
