import html.parser
import json
import re

import numpy as np

from detection.inspection.filters_page import filter_page
from detection.inspection.responses import RankedPhoto

FIRST, SECOND = "a </script><b>", "é"
PHOTOS = {FIRST: ("photos/a.jpg", (50, 100)), SECOND: ("photos/%C3%A9.jpg", (90, 60))}
WHOLE = RankedPhoto(SECOND, 1.0, np.array([[0, 0, 1, 1]], np.float32))
GROUPS = {
    "": {5: [RankedPhoto(FIRST, 2.2501, np.array([[0, 0.1, 0.5, 1]], np.float32)), WHOLE], 7: []},
    "cat & dog": {5: [WHOLE], 7: []},
}


def parts(page):
    return dict(re.findall(r'<script(?: type="application/json" id="(data)")?>(.*?)</script>', page, re.DOTALL))


def test_the_page_holds_all_filters_and_groups():
    page = filter_page("Filters <of> it", "2 photos", PHOTOS, GROUPS, ["The solid rectangle is what it sees."])
    html.parser.HTMLParser(convert_charrefs=True).feed(page)
    found = json.loads(parts(page)["data"])
    assert found["photos"] == [["a </script><b>", "photos/a.jpg", 2.0], ["é", "photos/%C3%A9.jpg", 0.6667]]
    assert found["groups"][""]["5"] == [[0, 2.25, [[0, 0.1, 0.5, 1]]], [1, 1.0, [[0, 0, 1, 1]]]]
    assert found["groups"]["cat & dog"]["7"] == []
    assert "<title>Filters &lt;of&gt; it</title>" in page
    assert "<option>cat &amp; dog</option>" in page
    assert "The solid rectangle" in page
    assert "lazy" in parts(page)[""]


def test_nothing_in_the_page_comes_from_elsewhere():
    page = filter_page("x", "y", PHOTOS, GROUPS, [])
    assert "://" not in page
    assert "default-src 'none'" in page
