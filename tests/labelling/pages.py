"""The program and its page, as somebody uses them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from detection.data import Problems
from detection.data.formats.voc_xml import read_annotation

WIDE, PHONE = (1280, 900), (390, 780)
PATIENCE = 60


@contextmanager
def said_nothing(driver):
    """Whatever is done in the page meanwhile, the console must have had no word."""
    driver.get("about:blank")  # a page of before asks a program that may have ended
    driver.get_log("browser")
    yield
    words = [one["message"] for one in driver.get_log("browser") if one["level"] == "SEVERE"]
    assert not words, words
    driver.get("about:blank")


# Of a detector that learns in a moment.
FAST = ("--browser=false", "--proposals.preset=single", "--proposals.max_windows=60", "--features.short_sides=[96]")


class Program:
    """``sppnet label`` on a folder; killed and begun again as one likes.

    words: of Python, which calls the command. options: of the command. stderr: see ``subprocess.Popen``.
    """

    def __init__(self, folder: Path, run: Path, words=("-m", "detection"), options=FAST, stderr=None) -> None:
        self.folder, self.run, self.stderr = folder, run, stderr
        self.words = [*words, "label", str(folder), f"--run={run}", "--workers=1", *options]
        self.begin()

    def begin(self) -> None:
        environment = {**os.environ, "COLUMNS": "200"}
        command = [sys.executable, *self.words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.stderr, text=True, env=environment)
        found = None
        while found is None:
            line = self.process.stdout.readline()
            assert line, "the program ended"
            found = re.search(r"photos: (http://127\.0\.0\.1:\d+/\S+/)$", line)
        self.address = found[1]

    def end(self, how: int, then: Callable[[], None] = lambda: None) -> int:
        self.process.send_signal(how)
        then()
        self.process.stdout.close()
        return self.process.wait(PATIENCE)

    def objects(self, name: str) -> list[tuple[str, tuple[float, ...]]]:
        """What the XML of a photo says."""
        path = self.folder / f"{name}.xml"
        if not path.exists():
            return []
        return [(one.name, one.box) for one in read_annotation(path, Problems()).objects]


class Page:
    """What somebody does with the page."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def open(self, number=None, size=WIDE, dark=False):
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 760}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")
        self.driver.get(self.address + ("" if number is None else f"#{number}"))
        self.wait(lambda: self.text("name", "value") and self.text("found"))

    def wait(self, happened):
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: happened())

    def get(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name, attribute="textContent"):
        return self.get(name).get_property(attribute)

    def settled(self):
        self.wait(lambda: self.text("status") not in ("", "saving"))
        assert self.text("status") == "saved"
        self.driver.execute_script("document.getElementById('status').textContent = ''")
        self.painted()

    def at(self, x, y):
        """A point of the photo on the page, in whole px."""
        script = "const m = document.getElementById('world').getScreenCTM(); return [m.a, m.e, m.f]"
        scale, left, top = self.driver.execute_script(script)
        return round(left + scale * x), round(top + scale * y)

    def drag(self, start, end, kind=None):
        device = PointerInput(kind, "finger") if kind else None
        builder = ActionBuilder(self.driver, mouse=device)
        pointer = builder.pointer_action
        pointer.move_to_location(*self.at(*start)).pointer_down()
        middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
        for point in (middle, end):
            pointer.move_to_location(*self.at(*point))
        pointer.pointer_up()
        builder.perform()

    def press(self, point):
        builder = ActionBuilder(self.driver)
        builder.pointer_action.move_to_location(*self.at(*point)).pointer_down()
        builder.perform()

    def glide(self, points, milliseconds=250):
        """Move through points, this long from each to the next."""
        builder = ActionBuilder(self.driver, duration=milliseconds)
        for point in points:
            builder.pointer_action.move_to_location(*self.at(*point))
        builder.perform()

    def release(self):
        builder = ActionBuilder(self.driver)
        builder.pointer_action.pointer_up()
        builder.perform()

    def click(self, point):
        builder = ActionBuilder(self.driver)
        builder.pointer_action.move_to_location(*self.at(*point)).click()
        builder.perform()

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def held(self, key, *others):
        """A key pressed while others are held."""
        chain = ActionChains(self.driver)
        for one in others:
            chain.key_down(one)
        chain.send_keys(key)
        for one in others:
            chain.key_up(one)
        chain.perform()

    def name_class(self, name):
        self.get("class").send_keys(name, Keys.ENTER)

    def boxes(self, layer):
        script = """return Array.from(document.querySelectorAll(`#${arguments[0]} rect`), one =>
            ['x', 'y', 'width', 'height'].map(side => Number(one.getAttribute(side))))"""
        return [(x, y, x + width, y + height) for x, y, width, height in self.driver.execute_script(script, layer)]

    def drawn(self):
        return self.boxes("drawn")

    def suggested(self):
        return self.boxes("suggested")

    def choose(self, box):
        """Choose a suggestion by its row in the list, which it has after all that is drawn."""
        script = """
            const shown = Array.from(document.querySelectorAll('#suggested rect'));
            const [x, y] = arguments[0].map(String);
            const place = shown.findIndex(one => one.getAttribute('x') === x && one.getAttribute('y') === y);
            const drawn = document.querySelectorAll('#drawn rect').length;
            document.querySelectorAll('#boxes button')[drawn + place].click()"""
        self.driver.execute_script(script, box)
        self.painted()

    def slide(self, percent):
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.driver.execute_script(script, self.get("least"), percent)
        self.painted()

    def painted(self):
        """Wait until all that was changed is on the screen: a frame, and the one behind it."""
        script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        self.driver.execute_async_script(script)
