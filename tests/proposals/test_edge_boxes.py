from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from detection.data import DataError
from detection.proposals import ProposalSettings, ProposalStore, edge_boxes, propose

GREY = np.full((90, 120, 3), 120, np.uint8)


def test_a_detector_of_imported_proposals_has_none_for_a_new_photo():
    with pytest.raises(DataError, match="no imported proposals"):
        propose("new", GREY, ProposalSettings(method="imported", imported="x"))


def test_edge_boxes_says_what_it_lacks(tmp_path):
    with pytest.raises(ValueError, match="edge_boxes_model: expected a model file"):
        ProposalSettings(method="edge_boxes")
    chosen = ProposalSettings(method="edge_boxes", edge_boxes_model=str(tmp_path / "model.yml.gz"))
    with pytest.raises(FileNotFoundError, match="expected a structured-forest model file, found none"):
        propose("a", GREY, chosen)
    (tmp_path / "model.yml.gz").write_bytes(b"x")
    if not hasattr(cv2, "ximgproc"):
        with pytest.raises(ValueError, match="opencv-contrib-python-headless instead of opencv-python-headless"):
            propose("a", GREY, chosen)


def test_edge_boxes_through_opencv(tmp_path, monkeypatch):
    """OpenCV's part is played: boxes x, y, width, height with scores, some over the border."""

    class Forest:
        def detectEdges(self, image):  # noqa: N802
            assert image.dtype == np.float32
            assert 0 <= image.min() <= image.max() <= 1
            return image[..., 0]

        computeOrientation = staticmethod(lambda edges: edges)  # noqa: N815
        edgesNms = staticmethod(lambda edges, orientations: edges)  # noqa: N815

    class Boxes:
        def getBoundingBoxes(self, edges, orientations):  # noqa: N802
            return np.int32([[0, 0, 30, 40], [10, 20, 500, 30], [5, 5, 10, 10]]), np.float32([[0.1], [0.7], [0.9]])

    fake = SimpleNamespace(createStructuredEdgeDetection=lambda path: Forest(), createEdgeBoxes=lambda **_: Boxes())
    monkeypatch.setattr(cv2, "ximgproc", fake, raising=False)
    edge_boxes._edge_detector.cache_clear()
    model = tmp_path / "model.yml.gz"
    model.write_bytes(b"forest")
    chosen = ProposalSettings(method="edge_boxes", edge_boxes_model=str(model))
    found = propose("a", GREY, chosen)
    assert found.boxes.tolist() == [[10, 20, 120, 50], [0, 0, 30, 40]]
    assert found.source == "edge_boxes"
    before = ProposalStore(tmp_path, chosen).key
    model.write_bytes(b"another forest")
    assert ProposalStore(tmp_path, chosen).key != before
    edge_boxes._edge_detector.cache_clear()
