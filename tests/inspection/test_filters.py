from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from detection.backbones.receptive_layers import ReceptiveField
from detection.data import DataError, read_image, write_image
from detection.inspection.filters import ALL, FilterView, draw_filters, rank_images, write_sheets
from detection.inspection.pyramids import draw_pyramids
from detection.inspection.responses import RankedPhoto
from detection.pipeline.work import Work
from detection.types import AnnotatedImage, FeaturePyramid
from detection.visualization import heat_colours

RGB = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
FIELD = ReceptiveField((-4, -4), (12, 12), 8)


@pytest.fixture
def pyramid():
    rng = np.random.default_rng(1)
    maps = tuple((rng.random((5, 4 * n, 6 * n)).astype(np.float16),) for n in (1, 2))
    maps[0][0][3, 2, 1] = 9
    return FeaturePyramid("a", (32, 48), maps, np.array([1.0, 2.0]), np.array([8]), np.array([[3.5, 3.5]]))


def test_a_row_for_each_filter(pyramid):
    def draw(*channels, **options):
        return draw_filters(RGB, pyramid, FilterView(0, (FIELD,), (0, 1), channels, **options))

    assert draw(1, 2).shape[0] > draw(1).shape[0]
    assert np.array_equal(draw(strongest=1, peaks=2), draw(3, peaks=2)), "the filter with the strongest response"
    assert not np.array_equal(draw(1), draw(2))


def test_pyramids_of_one_filter_at_every_size(pyramid):
    both, one = (
        draw_pyramids(RGB, pyramid, FilterView(0, (FIELD,), scales, (3,)), (2, 1)) for scales in ((0, 1), (0,))
    )
    assert both.shape[0] > one.shape[0]
    other = draw_pyramids(RGB, pyramid, FilterView(0, (FIELD,), (0,), (2,)), (2, 1))
    assert other.shape[0] == one.shape[0]
    assert other.shape[1] != one.shape[1] or (other != one).any()


def test_images_grow_with_the_maps_in_pyramids_of_one_filter(pyramid):
    """The image at 0.4 of its resized px, whatever is beside it."""
    plain = np.full_like(RGB, (1, 2, 3))
    for scales, sides in (((0,), [(13, 19)]), ((0, 1), [(13, 19), (26, 38)])):
        drawn = draw_pyramids(plain, pyramid, FilterView(0, (FIELD,), scales, (3,)), (2, 1))
        assert (drawn == (1, 2, 3)).all(axis=2).sum() == sum(height * width for height, width in sides)


def test_pyramids_have_one_scale_of_colours_at_every_size(pyramid):
    """From 0 to 8 at one size: at the other, where all is 4, both levels have the middle colour."""
    pyramid.maps[0][0][:], pyramid.maps[1][0][:] = 0, 4
    pyramid.maps[0][0][3, 2, 1] = 8
    drawn = draw_pyramids(RGB, pyramid, FilterView(0, (FIELD,), (0, 1), (3,)), (2, 1))
    assert (drawn == heat_colours(np.array(4), 0, 8)).all(axis=2).sum() >= 2 * 108 * 108


def test_images_that_cannot_be_read_are_not_ranked(pyramid):
    class Source:
        """Of every other image the maps, each with values of its own."""

        def extractor(self):
            return SimpleNamespace(backbone=SimpleNamespace(channels=(5,)))

        def pyramid(self, image):
            if image.image_id in "ac":
                raise DataError("unreadable image", image.path, "cut")
            values = tuple((stage + np.float16(ord(image.image_id)),) for (stage,) in pyramid.maps)
            return replace(pyramid, image_id=image.image_id, maps=values)

    def image(name, *labels):
        boxes = np.tile(np.float32([0, 0, 9, 9]), (len(labels), 1))
        return AnnotatedImage(
            name, Path(name), (32, 48), boxes, np.array(labels, np.int64), np.zeros(len(labels), bool)
        )

    view, work = FilterView(0, (FIELD,), (0, 1)), Work()
    images = [image("a", 0), image("b", 0, 0), image("c", 1), image("d", 1)]
    groups = rank_images(Source(), images, ("cat", "dog"), view, 2, work)
    assert {name: [one.image_id for one in group.of(3)] for name, group in groups.items()} == {
        ALL: ["d", "b"], "cat": ["b"], "dog": ["d"],
    }  # fmt: skip
    assert [one.value for one in groups[ALL].of(3)] == [109, 107]
    assert [(one.kind, one.file) for one in work.problems] == [("unreadable image", "a"), ("unreadable image", "c")]
    with pytest.raises(ValueError, match="expected at least one image that can be read, got none of 2"):
        rank_images(Source(), images[::2], ("cat", "dog"), view, 2, Work())


def test_sheets_of_twelve_filters(tmp_path):
    write_image(tmp_path / "a.png", RGB)
    photo = RankedPhoto("a", 1.5, np.array([[0.1, 0.1, 0.5, 0.9], [0, 0, 1, 1]], np.float32))
    rows = {channel: [photo] * 2 for channel in range(3, 16)}
    write_sheets(rows, {"a": tmp_path / "a.png"}, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("filters-*")) == [
        "filters-0003-0014.png", "filters-0015-0015.png",
    ]  # fmt: skip
    first, last = (read_image(path) for path in sorted(tmp_path.glob("filters-*")))
    assert first.shape[0] > 10 * last.shape[0]
    assert first.shape[1] == last.shape[1] == 2 * 150 + 3 * 6
