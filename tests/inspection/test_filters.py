import numpy as np
import pytest

from detection.backbones.receptive_layers import ReceptiveField
from detection.data import read_image, write_image
from detection.inspection.filters import FilterView, draw_filters, write_sheets
from detection.inspection.pyramids import draw_pyramids
from detection.inspection.responses import RankedPhoto
from detection.types import FeaturePyramid

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
