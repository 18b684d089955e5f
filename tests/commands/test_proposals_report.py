import numpy as np
import pytest

from detection.commands import proposals_report
from detection.proposals import proposal_quality

OBJECT = np.float32([[0, 0, 10, 10]])


def quality(*counts, best_at=0):
    """Of images with one object each, which the proposal at `best_at` covers where there are so many."""

    def proposals(count):
        boxes = np.tile(np.float32([[50, 50, 60, 60]]), (count, 1))
        boxes[best_at : best_at + 1] = OBJECT
        return boxes

    return proposal_quality([proposals(one) for one in counts], [OBJECT] * len(counts), [[0]] * len(counts), ["cat"])


@pytest.mark.parametrize(
    ("counts", "points"),
    [
        ((3, 30), ([10, 20, 30], [0, 1 / 2, 1 / 2])),
        ((30, 3, 50), ([10, 20, 50], [0, 2 / 3, 2 / 3])),
        ((51,), ([10, 20, 50, 51], [0, 1, 1, 1])),
        ((0, 7), ([10], [0])),
        ((), ([10], [float("nan")])),
    ],
)
def test_curves_end_where_the_longest_list_does(monkeypatch, counts, points):
    drawn, chart = [], proposals_report.line_chart

    def seen(title, across, up, lines, **more):
        drawn.append((title, lines))
        return chart(title, across, up, lines, **more)

    monkeypatch.setattr(proposals_report, "line_chart", seen)
    picture = proposals_report.recall_picture({"mine": quality(*counts, best_at=15)})
    assert picture.dtype == np.uint8
    (_, whole), *by_count = drawn
    assert whole[0].name == "mine"
    assert [title for title, _ in by_count] == [
        "IoU at least 0.5",
        "IoU at least 0.7",
        "Average recall, IoU 0.5 to 0.95",
    ]
    for _, (line,) in by_count:
        np.testing.assert_allclose(line.x, points[0])
        np.testing.assert_allclose(line.y, points[1])
