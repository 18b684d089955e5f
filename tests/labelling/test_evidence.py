import numpy as np

from detection.labelling.evidence import sure_negatives

CAT, DOG, COW = 0, 1, 2
DRAWN = np.array([[10, 10, 50, 50]], np.float32)


def wrong(proposal, rejected=(), drawn=DRAWN, labels=(CAT,)):
    """The classes that a proposal is surely none of."""
    found = sure_negatives(np.array([proposal], np.float32), drawn, np.array(labels, np.int64), rejected, 3)
    return set(np.flatnonzero(found[0]).tolist())


def test_a_part_of_a_drawn_object_is_none_of_its_class_and_may_be_another():
    assert wrong((20, 20, 30, 30)) == {CAT}
    assert wrong((40, 20, 60, 30)) == {CAT}
    assert wrong((41, 20, 60, 30)) == set()


def test_what_is_drawn_as_one_class_is_no_other():
    assert wrong((10, 10, 50, 48)) == {CAT, DOG, COW}
    assert wrong((0, 0, 50, 60)) == {CAT, DOG, COW}
    assert wrong((0, 0, 90, 90)) == set()


def test_of_all_else_nothing_is_known():
    assert wrong((60, 60, 90, 90)) == set()
    assert wrong((60, 60, 90, 90), drawn=np.zeros((0, 4), np.float32), labels=()) == set()


def test_what_was_rejected_is_none_of_that_class():
    assert wrong((60, 60, 90, 90), [(DOG, (62, 60, 90, 90))]) == {DOG}
    assert wrong((60, 60, 70, 70), [(DOG, (62, 60, 90, 90))]) == set()


def test_shapes_of_nothing():
    found = sure_negatives(np.zeros((0, 4), np.float32), DRAWN, np.array([CAT]), [], 3)
    assert (found.shape, found.dtype) == ((0, 3), bool)
