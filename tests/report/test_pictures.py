import base64
import io

import numpy as np
from PIL import Image

from detection.report.pictures import Layer, Picture, drawn, fitting
from detection.visualization import DrawingSettings


def picture(size):
    return Picture(b"x" * size, 1, 1, "words")


def test_no_more_pictures_are_made_than_fit():
    made = []

    def several():
        for size in (300, 300, 9000, 3):
            made.append(size)
            yield picture(size)

    assert [len(one.data) for one in fitting(several(), 2 * picture(300).html_bytes)] == [300, 300]
    assert made == [300, 300, 9000]


def test_a_picture_is_in_the_page_itself():
    one = picture(5)
    assert base64.b64decode(one.source.removeprefix("data:image/jpeg;base64,")) == b"xxxxx"
    assert one.html_bytes >= len(one.source) + len(one.alt)


def test_boxes_are_where_they_are_in_the_part_shown():
    rgb = np.full((100, 200, 3), 128, np.uint8)
    layer = Layer((110.0, 20.0, 150.0, 60.0), "", (255, 0, 0), "solid")
    data, height, width = drawn(rgb, (100, 10, 180, 90), [layer], 160, DrawingSettings())
    assert (height, width) == (160, 160)
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    rows, columns = np.nonzero((pixels - pixels.min(axis=2, keepdims=True))[..., 0] > 90)
    # Twice as large, from (100, 10) on.
    for found, expected in ((columns.min(), 20), (columns.max(), 99), (rows.min(), 20), (rows.max(), 99)):
        assert abs(found - expected) <= 2


def test_a_photo_without_a_box():
    data, height, width = drawn(np.zeros((4, 8, 3), np.uint8), (0, 0, 8, 4), [], 480, DrawingSettings())
    assert (height, width) == (16, 32)
    assert Image.open(io.BytesIO(data)).size == (32, 16)
