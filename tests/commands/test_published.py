import numpy as np
import pytest

from detection.commands.published import PUBLISHED, comparison
from detection.data import VOC_CLASSES


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda one: f"{one.method} {one.backbone}")
def test_a_rows_mean_is_the_one_printed_with_it(row):
    assert len(row.per_class) == len(VOC_CLASSES)
    assert np.mean(row.per_class) == pytest.approx(row.mean, abs=0.051)


def test_the_same_network_comes_first():
    found = dict.fromkeys(VOC_CLASSES, 0.5) | {"dog": None}
    table, notes = comparison(found, 0.4321, "vgg16")
    columns = [[str(cell) for cell in one.cells] for one in table.columns]
    assert columns[0] == [*VOC_CLASSES, "mAP"]
    assert columns[1][VOC_CLASSES.index("dog")] == "-"
    assert (columns[1][0], columns[1][-1]) == ("50.0", "43.2")
    assert [one[-1] for one in columns[2:]] == ["63.1", "66.0", "59.2", "59.2", "58.5"]
    assert notes[0].startswith("[1] SPP-net with vgg16: Fast R-CNN")
    assert notes[3] == "[4] R-CNN with zf5: SPP-net paper, Table 11"
