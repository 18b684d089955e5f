import numpy as np
import pytest

from detection.proposals import ProposalSettings, ProposalStore, store
from detection.types import Proposals

BOXES = np.array([[0, 0, 10, 20], [5.5, 6, 30, 40]], np.float32)


def proposals(image_id="a b/c", boxes=BOXES):
    return Proposals(image_id, (40, 30), boxes, "selective_search/fast")


@pytest.fixture
def kept(tmp_path):
    found = ProposalStore(tmp_path, ProposalSettings())
    found.write(proposals(), "f")
    return found


def test_round_trip(kept):
    one = kept.read("a b/c", "f")
    assert (one.image_id, one.size, one.source) == ("a b/c", (40, 30), "selective_search/fast")
    assert one.boxes.dtype == np.float32
    assert one.boxes.tobytes() == BOXES.tobytes()
    assert kept.has("a b/c", "f")
    assert kept.path("a b/c").parent == kept.folder


def test_no_proposal(kept):
    kept.write(proposals("none", np.zeros((0, 4), np.float32)), "f")
    assert kept.read("none", "f").boxes.shape == (0, 4)


def test_absent(kept):
    assert kept.read("b", "f") is None
    assert not kept.has("b", "f")


def test_of_another_image(kept):
    assert kept.read("a b/c", "g") is None
    assert not kept.has("a b/c", "g")
    kept.path("b").write_bytes(kept.path("a b/c").read_bytes())
    assert kept.read("b", "f") is None


@pytest.mark.parametrize("change", [{"seed": 4}, {"max_windows": 5}, {"preset": "single"}, {"min_side": 0}])
def test_of_other_settings(kept, change):
    other = ProposalStore(kept.folder, ProposalSettings(**change))
    assert other.read("a b/c", "f") is None
    assert not other.has("a b/c", "f")


def test_of_another_version_of_the_algorithm(kept, monkeypatch):
    monkeypatch.setattr(store, "ALGORITHM_VERSION", store.ALGORITHM_VERSION + 1)
    assert ProposalStore(kept.folder, ProposalSettings()).read("a b/c", "f") is None


@pytest.mark.parametrize("damage", ["cut", "empty", "byte", "foreign"])
def test_damaged(kept, damage):
    path = kept.path("a b/c")
    content = bytearray(path.read_bytes())
    content[-2] ^= 0x01
    path.write_bytes({"cut": content[:-7], "empty": b"", "byte": content, "foreign": b"x" * 500}[damage])
    assert kept.read("a b/c", "f") is None


def test_damaged_imported_proposals_are_an_error(tmp_path):
    """Nobody here can make them again."""
    kept = ProposalStore(tmp_path, ProposalSettings(method="imported", imported="0123456789abcdef"))
    kept.write(proposals("a"), "f")
    whole = kept.path("a").read_bytes()
    assert kept.read("a", "f") is not None
    kept.path("a").write_bytes(whole[:-1])
    for call in (kept.read, kept.has):
        with pytest.raises(ValueError, match=r"a\.safetensors: .*; delete the file, and run sppnet proposals"):
            call("a", "f")
    assert kept.read("b", "f") is None


def test_keys_of_other_methods_do_not_move_selective_search():
    base = ProposalStore("x", ProposalSettings()).key
    assert ProposalStore("x", ProposalSettings(imported="y", edge_boxes_model="z")).key == base
    assert ProposalStore("x", ProposalSettings(seed=4)).key != base
