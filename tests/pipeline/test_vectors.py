import numpy as np
import pytest

from detection.learning import SVMSettings
from detection.learning.svm.samples import norm_sample_images
from detection.learning.svm.settings import NormSettings
from detection.pipeline.stages.svms import SVMS
from detection.pipeline.vectors import objects_alone
from detection.storage import read_arrays

BOXES = np.zeros((20, 4), np.float32)


@pytest.mark.parametrize("thinning", [{"distinct_negatives": True}, {"negative_overlap": 0.7}])
def test_where_proposals_are_thinned_the_sample_of_norms_takes_all_of_its_images(thinning):
    settings = SVMSettings(norm=NormSettings(images=2, windows=3), **thinning)
    sampled = norm_sample_images(5, settings.norm).tolist()
    for position in range(5):
        rows, norm_rows = objects_alone(5, settings)(position, None)(BOXES)
        assert norm_rows is None
        assert rows.tolist() == (list(range(20)) if position in sampled else [])


def test_else_it_takes_its_own_alone():
    settings = SVMSettings(norm=NormSettings(images=2, windows=3))
    sampled = norm_sample_images(5, settings.norm).tolist()
    for position in range(5):
        rows, norm_rows = objects_alone(5, settings)(position, None)(BOXES)
        assert rows.tolist() == []
        assert len(norm_rows) == (3 if position in sampled else 0)


def trained(experiment):
    SVMS.make(experiment)
    figures = experiment.run.read()["stages"]["svms"]
    return read_arrays(experiment.run.detector / "svms.safetensors")[0], figures


@pytest.mark.parametrize("option", ["--svm.distinct_negatives=true", "--svm.negative_overlap=0.3"])
def test_thinned_proposals_of_a_run(open_run, run, option):
    """Fewer vectors are scored, and their mean norm, to which all are scaled, is of those that are left."""
    before = open_run(run).run.read()["stages"]["svms"]
    arrays = read_arrays(run / "detector/svms.safetensors")[0]
    after, figures = trained(open_run(run, option))
    assert figures["positives"] == before["positives"]
    assert 0 < figures["mean_norm"] != before["mean_norm"]
    assert not np.array_equal(after["weights"], arrays["weights"])
