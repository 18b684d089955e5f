import numpy as np
import pytest

from detection.learning import SVMSettings, TrainingRegions, thinned
from detection.types import RegionFeatures

# Four overlapping proposals (IoU 0.8, 0.6, 0.8 of neighbours) and one on the object.
BOXES = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 10, 5], [50, 50, 60, 60]], np.float32)
VALUES = np.array([[1, 2], [3, 4], [1, 2], [0, 0], [3, 4]], np.float32)


def regions(boxes=BOXES, values=VALUES, objects=((50, 50, 60, 60),)):
    objects = np.array(objects, np.float32).reshape(-1, 4)
    count = len(objects)
    return TrainingRegions(
        RegionFeatures("a", boxes, values, "pool5"),
        RegionFeatures("a", objects, np.zeros((count, 2), np.float32), "pool5"),
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


def kept(settings, **changes):
    found = thinned(regions(**changes), settings).proposals
    return [row.tolist() for row in found.boxes], found.values


def test_the_defaults_keep_all():
    assert kept(SVMSettings())[0] == BOXES.tolist()


def test_overlapping_negatives():
    """0.8 drops the second; the third overlaps the first by 0.6, the fourth the third by 5 / 6."""
    assert kept(SVMSettings(negative_overlap=0.7))[0] == BOXES[[0, 2, 4]].tolist()
    assert kept(SVMSettings(negative_overlap=0.82))[0] == BOXES[[0, 1, 2, 4]].tolist()


def test_proposals_near_an_object_stay():
    both = np.array([[50, 50, 60, 60], [50, 50, 60, 59.5], [0, 0, 10, 10]], np.float32)
    found, _ = kept(SVMSettings(negative_overlap=0.7), boxes=both, values=VALUES[:3])
    assert found == both.tolist()
    found, _ = kept(SVMSettings(negative_overlap=0.7), boxes=both, values=VALUES[:3], objects=())
    assert found == both[[0, 2]].tolist()


def test_equal_vectors():
    boxes, values = kept(SVMSettings(distinct_negatives=True))
    assert boxes == BOXES[[0, 1, 3]].tolist()
    assert values.tolist() == VALUES[[0, 1, 3]].tolist()


@pytest.mark.parametrize("settings", [SVMSettings(negative_overlap=0.7), SVMSettings(distinct_negatives=True)])
def test_no_proposal(settings):
    assert kept(settings, boxes=BOXES[:0], values=VALUES[:0])[0] == []


def test_an_overlap_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"svm.negative_overlap: expected 0 .. 1 or null, got 1.5"):
        SVMSettings(negative_overlap=1.5)
