import numpy as np
import pytest

from detection.data import write_image
from detection.inspection.samples import draw_samples, ranked_samples
from detection.pipeline.training_samples import Sample, read_samples
from detection.types import AnnotatedImage

LINES = [
    "class,kind,image_id,x1,y1,x2,y2,margin,alpha",
    "cat,positive,a,0,0,20,30,0.5,0.1",
    "cat,positive,b,1,1,20,30,-0.5,0.1",
    "cat,positive,b,2,2,20,30,-0.9,0",
    "cat,negative,a,0,5,20,30,-0.75,0.2",
    "cat,negative,a,0,6,20,30,1.25,0.2",
    "dog,negative,a,0,7,20,30,2,0.2",
]


def test_the_hardest_come_first(tmp_path):
    (tmp_path / "samples.csv").write_text("\n".join(LINES))
    samples = read_samples(tmp_path / "samples.csv")
    assert samples[0] == Sample("cat", True, "a", (0.0, 0.0, 20.0, 30.0), 0.5, 0.1)
    positives, negatives = ranked_samples(samples, "cat")
    assert [one.margin for one in positives] == [-0.5, 0.5]
    assert [one.margin for one in negatives] == [1.25, -0.75]


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["a,b"], "expected the columns class"), ([*LINES, "cat,maybe,a,0,0,1,1,0,0"], "line 8: expected a sample")],
)
def test_a_damaged_file(tmp_path, lines, message):
    (tmp_path / "samples.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        read_samples(tmp_path / "samples.csv")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run sppnet train"):
        read_samples(tmp_path / "samples.csv")


def test_the_sheet(tmp_path):
    write_image(tmp_path / "a.png", np.full((40, 50, 3), (200, 0, 0), np.uint8))
    none = np.zeros(0, np.int64)
    image = AnnotatedImage("a", tmp_path / "a.png", (40, 50), np.zeros((0, 4), np.float32), none, none.astype(bool))
    samples = [Sample("cat", True, "a", (0.0, 0.0, 20.0, 30.0), 0.5, 0.1)] * 9
    one_row, two_rows = (draw_samples(samples, {"a": image}, count, "cat") for count in (8, 9))
    assert one_row.shape[1] == two_rows.shape[1]
    # A row is the gap, the margin in letters of 14 px, and 120 px of photo.
    assert two_rows.shape[0] - one_row.shape[0] == 8 + 2 * 14 + 120
    red = [int((sheet == (200, 0, 0)).all(axis=2).sum()) for sheet in (one_row, two_rows)]
    assert red[1] == red[0] * 9 / 8 > 0
    assert draw_samples([], {}, 8, "cat").shape[1] == 8 * 120
