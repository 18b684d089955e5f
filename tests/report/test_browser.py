"""The page in a browser: what it looks like and does where people read it."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from detection.evaluation import IntervalSettings, difference
from detection.report import Comparison, ReportSettings, write_report

MARKUP = ["<b>bold&\"'", "<script>document.title='no'</script>", "{{ 7 * 7 }}", "a'b", "кошка", "</table><img src=x>"]
KINDS = {
    "few": (["cat", "cow", "dog"], {}),
    "none": (["cat", "cow", "dog"], {"detected": False}),
    "one": (["cat"], {}),
    "many": ([f"class {i}" for i in range(200)], {}),
    "markup": (MARKUP, {"name": "<i>&\"'run"}),
    "rough": (["cat", "cow"], {"calibrated": False}),
}
WIDE, PHONE = (1200, 900), (360, 740)
# The place of average precision in the table of classes.
AP = 5


@pytest.fixture(scope="module")
def pages(make_run, tmp_path_factory):
    """kind -> path of its page; "two" compares two runs."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for kind, (classes, options) in KINDS.items():
        made[kind] = write_report(folder / f"{kind}.html", make_run(classes, **options))[0]
    first, second = (make_run(["cat", "cow", "dog"], seed=i, name=f"run{i}") for i in range(2))
    change = difference(first.evaluation, second.evaluation, IntervalSettings(40))
    made["two"] = write_report(folder / "two.html", first, Comparison(second, change))[0]
    return made


@pytest.fixture
def look(browser, pages):
    """``look(kind, size, dark)`` opens a page and returns the driver; the test fails if the console had a word."""

    def open_it(kind, size=WIDE, dark=False, media=""):
        # Scrolling at once: what is clicked stands still.
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(pages[kind].as_uri())
        return browser

    browser.get_log("browser")
    yield open_it
    assert browser.get_log("browser") == []


def screenshot(driver):
    return np.array(Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB"))


def colours(picture):
    return len(np.unique(picture.astype(np.int64) @ [1, 256, 65536]))


def column(driver, table, place):
    script = "return Array.from(document.querySelectorAll(arguments[0])).map(row => row.cells[arguments[1]].innerText)"
    return driver.execute_script(script, f"#table-{table} tbody tr", place)


@pytest.mark.parametrize("kind", [*KINDS, "two"])
class TestEveryPage:
    def test_it_opens_and_shows_something(self, look, kind):
        driver = look(kind)
        assert driver.title.startswith("Detection report: ")
        assert driver.execute_script("return document.readyState") == "complete"
        picture = screenshot(driver)
        assert picture.shape[:2] == WIDE[::-1]
        assert colours(picture) > 20

    def test_every_picture_has_loaded(self, look, kind):
        # They load as they are scrolled to.
        script = (
            "const [done] = arguments; Promise.all(Array.from(document.images, one => { one.loading = 'eager';"
            "return one.decode().then(() => [one.naturalWidth, one.naturalHeight, one.alt]); })).then(done, done)"
        )
        images = look(kind).execute_async_script(script)
        assert len(images) > 1
        for width, height, alt in images:
            assert min(width, height) > 0
            assert "; image image " in alt

    def test_nothing_is_fetched(self, look, kind):
        script = (
            "return performance.getEntriesByType('resource').map(one => one.name).filter(n => !n.startsWith('data:'))"
        )
        assert look(kind).execute_script(script) == []

    def test_no_page_is_wider_than_a_phone(self, look, kind):
        driver = look(kind, PHONE)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        assert colours(screenshot(driver)) > 20

    def test_it_prints(self, look, kind):
        pdf = base64.b64decode(look(kind).print_page())
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 1

    def test_every_id_is_one_elements_and_every_link_leads_somewhere(self, look, kind):
        driver = look(kind)
        ids = driver.execute_script("return Array.from(document.querySelectorAll('[id]')).map(one => one.id)")
        assert len(ids) == len(set(ids))
        links = driver.execute_script(
            "return Array.from(document.querySelectorAll('a')).map(one => one.getAttribute('href'))"
        )
        assert links
        assert {link for link in links if link != "#"} <= {f"#{one}" for one in ids}


def test_the_page_leads_with_what_is_shown(look, make_run):
    driver, shown = look("few"), make_run(["cat", "cow", "dog"]).shown
    names = [one.text for one in driver.find_elements("css selector", "#summary dt")]
    values = [one.text.split("\n")[0] for one in driver.find_elements("css selector", "#summary dd")]
    told = dict(zip(names, values, strict=True))
    assert names[:4] == ["found", "missed", "false", "mAP"]
    assert told["found"] == f"{shown.found.sum()} of {shown.objects.sum()}"
    assert (told["missed"], told["false"]) == (str(shown.missed.sum()), str(shown.false.sum()))


def test_a_detector_without_thresholds_says_so(look):
    assert "no thresholds were chosen" in look("rough").find_element("css selector", ".notes").text
    assert set(column(look("rough"), "classes", -1 + len(heads(look("rough"))))) == {"uncalibrated"}
    assert look("few").find_elements("xpath", "//*[contains(text(), 'uncalibrated')]") == []


def heads(driver):
    return driver.find_elements("css selector", "#table-classes thead th")


def test_the_first_photos_are_open_and_the_others_a_click_away(look):
    driver = look("few")
    photos = driver.find_elements("css selector", "#photos img")
    assert len(photos) == 12
    assert [one.is_displayed() for one in photos] == [True] * 6 + [False] * 6
    driver.find_element("css selector", "#photos summary").click()
    assert all(one.is_displayed() for one in photos)


@pytest.mark.parametrize("dark", [False, True])
def test_a_table_that_is_cut_off_shows_it_and_scrolls_by_the_keyboard(look, dark):
    """A shadow lies at the edge beyond which there is more, and goes to the other one at the end."""
    driver = look("few", PHONE, dark)
    region = driver.find_element("css selector", ".scroll:has(#table-classes)")
    assert region.get_attribute("tabindex") == "0"
    label = driver.find_element("id", region.get_attribute("aria-labelledby"))
    assert label.text.startswith("Found, missed and false")
    driver.execute_script("arguments[0].scrollIntoView()", region)

    def edges():
        picture = np.array(Image.open(io.BytesIO(region.screenshot_as_png)).convert("RGB")).astype(int)
        # Between the lines of text; the first column, which stays, covers the left edge.
        strip = picture[4:8].mean(axis=(0, 2))
        return abs(strip[2] - strip[100]), abs(strip[-3] - strip[100])

    left, right = edges()
    assert left < 5
    assert right > 30
    driver.execute_script("arguments[0].focus()", region)
    for _ in range(40):
        region.send_keys("\ue014")
    assert driver.execute_script("return arguments[0].scrollLeft", region) > 100
    driver.execute_script("arguments[0].scrollLeft = 1e4", region)
    left, right = edges()
    assert left > 30
    assert right < 5


def test_dark_and_light(look):
    light, dark = (screenshot(look("few", dark=dark)).mean() for dark in (False, True))
    assert light > 200
    assert dark < 60


def test_paper_is_white_even_where_the_screen_is_dark(look):
    assert screenshot(look("few", dark=True, media="print")).mean() > 200


def test_sorting(look):
    driver = look("few")
    heads = driver.find_elements("css selector", "#table-classes thead th")
    assert [one.get_attribute("aria-sort") for one in heads] == ["none"] * len(heads)
    assert column(driver, "classes", 0) == ["cat", "cow", "dog"]

    heads[AP].find_element("tag name", "button").click()
    falling = [float(text) for text in column(driver, "classes", AP)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 3
    assert heads[AP].get_attribute("aria-sort") == "descending"
    assert driver.find_element("id", "said").get_attribute("textContent") == "Sorted by AP, falling"

    # By the keyboard.
    heads[AP].find_element("tag name", "button").send_keys("\ue007")
    assert [float(text) for text in column(driver, "classes", AP)] == falling[::-1]
    assert heads[AP].get_attribute("aria-sort") == "ascending"

    heads[0].find_element("tag name", "button").click()
    assert column(driver, "classes", 0) == ["cat", "cow", "dog"]
    assert [heads[i].get_attribute("aria-sort") for i in (0, AP)] == ["ascending", "none"]
    foot = driver.find_element("css selector", "#table-classes tfoot th")
    assert foot.text == "all"


def test_numbers_sort_as_numbers_and_what_is_absent_last(look):
    driver = look("many")
    button = driver.find_elements("css selector", "#table-classes thead th")[AP].find_element("tag name", "button")
    for falling in (True, False):
        button.click()
        texts = column(driver, "classes", AP)
        known = [float(text) for text in texts if text != "\N{EN DASH}"]
        assert known == sorted(known, reverse=falling)
        assert all(text == "\N{EN DASH}" for text in texts[len(known) :])
        assert 0 < len(known) < len(texts)


def test_names_are_text(look):
    driver = look("markup")
    assert sorted(column(driver, "classes", 0)) == sorted(MARKUP)
    assert driver.title == "Detection report: <i>&\"'run"
    assert driver.find_elements("css selector", "main b:not(figcaption b)") == []
    assert driver.find_elements("css selector", "main i") == []
    assert len(driver.find_elements("css selector", "script")) == 1


def test_a_script_that_slipped_in_does_not_run(look, pages, tmp_path, browser):
    text = pages["few"].read_text(encoding="utf-8").replace("</main>", "<script>window.bad = 1</script></main>")
    (tmp_path / "bad.html").write_text(text, encoding="utf-8")
    browser.get((tmp_path / "bad.html").as_uri())
    assert browser.execute_script("return window.bad") is None
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_a_link_to_a_class_opens_its_pictures(look):
    driver = look("many")
    links = driver.find_elements("css selector", "#table-classes tbody a")
    target = links[-1].get_attribute("href").split("#")[1]
    closed = "return document.getElementById(arguments[0]).closest('details').open"
    assert driver.execute_script(closed, target) is False
    links[-1].send_keys("\ue007")
    # The hash changes at once, its event comes after.
    assert driver.execute_async_script(
        "const [id, done] = arguments;setTimeout(() => done(document.getElementById(id).closest('details').open), 100)",
        target,
    )
    driver.execute_script("document.getElementById('open-all').click()")
    assert driver.execute_script("return document.querySelectorAll('#pictures details:not([open])').length") == 0


def test_paper_shows_what_is_closed(look):
    driver = look("many")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") > 0
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") > 0


def test_the_first_stop_of_the_keyboard_skips_to_the_content(look):
    driver = look("few")
    driver.find_element("css selector", "body").send_keys("\ue004")
    first = driver.switch_to.active_element
    assert first.text == "Skip to the content"
    assert first.location["x"] >= 0
    first.send_keys("\ue007")
    assert driver.switch_to.active_element.get_attribute("id") == "content"


CONTRAST = """
const light = c => { const v = c.map(x => x / 255).map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const numbers = text => text.match(/[0-9.]+/g).map(Number);
const ground = one => { for (let at = one; at; at = at.parentElement) {
  const c = numbers(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] > 0) return c.slice(0, 3); }
  return [255, 255, 255]; };
const worst = [];
for (const one of document.querySelectorAll('body *')) {
  const own = Array.from(one.childNodes).some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || ['SCRIPT', 'STYLE'].includes(one.tagName) || !one.checkVisibility()) continue;
  const style = getComputedStyle(one), svg = one.namespaceURI.endsWith('svg');
  let under = ground(one);
  if (one.matches('.bar, .shade[style]')) under = numbers(getComputedStyle(one).getPropertyValue('--bar').trim()
    .replace(/^#(..)(..)(..)$/, (_, r, g, b) => [r, g, b].map(x => parseInt(x, 16)).join(' ')));
  const pair = [light(numbers(svg ? style.fill : style.color).slice(0, 3)), light(under)].sort((a, b) => b - a);
  worst.push([(pair[0] + .05) / (pair[1] + .05), one.tagName, one.className.toString(), one.textContent.slice(0, 40)]);
}
return worst.sort((a, b) => a[0] - b[0]).slice(0, 3);
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["few", "two"])
def test_all_text_has_the_contrast_of_wcag_aa(look, kind, dark):
    driver = look(kind, dark=dark)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    worst = driver.execute_script(CONTRAST)
    assert worst[0][0] >= 4.5, worst


def test_tables_and_drawings_have_names(look):
    driver = look("two")
    tables = driver.execute_script(
        "return Array.from(document.querySelectorAll('table')).map("
        "t => [t.caption.textContent.trim(), Array.from(t.querySelectorAll('th')).every(h => h.scope)])"
    )
    assert all(caption and scoped for caption, scoped in tables)
    drawings = driver.execute_script(
        "return Array.from(document.querySelectorAll('svg:not([aria-hidden])')).map("
        "s => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    assert drawings
    assert all(role == "img" and label for role, label in drawings)


def test_no_pictures_are_asked_for(look, make_run, tmp_path, browser):
    path = write_report(tmp_path / "none.html", make_run(["cat"]), settings=ReportSettings(pictures=0, photos=0))[0]
    browser.get(path.as_uri())
    assert browser.find_elements("css selector", "img") == []
    assert "no picture" in browser.find_element("id", "pictures").text
    assert "no photo" in browser.find_element("id", "photos").text
