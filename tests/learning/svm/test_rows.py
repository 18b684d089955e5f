import errno
import os

import numpy as np
import pytest

from detection.learning.svm import _rows
from detection.learning.svm._rows import ClassCache, RowStore, Task


def rows(count, value):
    return np.full((count, 3), value, np.float32)


def added(store, values):
    return store.add(values, np.arange(len(values)))


def opened(memory=2**20, path=None):
    store = RowStore(memory, path)
    store.open(3)
    return store


def test_places_are_used_again():
    store = opened()
    first, second = added(store, rows(2, 1)), added(store, rows(3, 2))
    store.use(first)
    store.use(second)
    store.use(second[:1])
    assert store.held_rows == 5
    store.release(second)
    assert store.held_rows == 3
    before = added(store, rows(1, 4))
    assert not set(before) & set(second)
    store.commit()
    third = added(store, rows(4, 3))
    store.use(third)
    assert set(second[1:]) <= set(third)
    assert store.held_rows == 7
    assert store.peak_rows == 7
    assert (store.values[third] == 3).all()
    assert (store.values[second[0]] == 2).all()
    assert (store.values[first] == 1).all()


def test_memory_is_a_bound():
    store = opened(memory=7 * 12 + 5)
    assert store.room == 7
    places = added(store, rows(5, 1))
    store.use(places)
    assert (store.room, store.peak_bytes) == (2, 60)
    with pytest.raises(ValueError, match="expected at most 2 rows, got 3"):
        added(store, rows(3, 2))
    store.release(places[:4])
    assert store.room == 2
    store.commit()
    assert store.room == 6
    store.use(added(store, rows(6, 3)))
    assert (store.room, store.held_rows, store.peak_bytes) == (0, 7, 84)


def test_rows_outlive_the_process(tmp_path):
    path = tmp_path / "folder" / "rows"
    store = opened(path=path)
    places = added(store, np.arange(15, dtype=np.float32).reshape(5, 3))
    store.use(places)
    store.release(places[1:3])
    store.commit()
    kept, checks = [places[[0, 3]], places[[3, 4]]], store.used_checks().copy()

    def restored(length=3):
        again = RowStore(2**20, path)
        again.open(length, kept=True)
        return again, again.restore(kept, checks, 5)

    again, whole = restored()
    assert whole
    assert (again.held_rows, again.peak_rows) == (3, 5)
    assert again.values[places[[0, 3, 4]]].tolist() == [[0, 1, 2], [9, 10, 11], [12, 13, 14]]
    assert set(added(again, rows(2, 7))) == {places[1], places[2]}
    # A row that nobody uses may have changed, one that is used may not.
    assert restored()[1]
    again.values[places[4], 0] = -1
    assert not restored()[1]


def test_chosen_rows(tmp_path):
    values = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    chosen = np.arange(0, 1000, 3)[::-1]
    for store in (opened(), opened(path=tmp_path / "rows")):
        assert np.array_equal(store.values[store.add(np.asfortranarray(values), chosen)], values[chosen])


def test_a_class_keeps_what_is_wanted():
    cache = ClassCache(Task(0, 1.0, 1.0))
    cache.append_positives(np.array([4, 5]), np.zeros((2, 4), np.float32), 7, np.zeros(2))
    cache.append(np.array([6, 7, 8]), np.arange(12).reshape(3, 4), np.array([[0, 1], [0, 2], [3, 1]]))
    assert cache.keep(np.array([True, True, True, False, True])).tolist() == [7]
    assert (cache.negatives, cache.places.tolist(), cache.keys.tolist()) == (2, [4, 5, 6, 8], [[0, 1], [3, 1]])
    assert (cache.positives, cache.origins.tolist(), cache.boxes[2:, 0].tolist()) == (2, [7, 7], [0, 8])


class TestTheDisk:
    """It is taken before rows are written: a mapped file on a full disk ends a process with a bus error."""

    @pytest.fixture(params=[True, False])
    def reserved(self, request, monkeypatch):
        """(start, length) of what is taken; with a call of the system for it and without."""
        taken = []
        monkeypatch.setattr(_rows, "_RESERVED_AT_A_TIME", 60)
        if request.param:
            fallocate = os.posix_fallocate
            monkeypatch.setattr(
                "os.posix_fallocate", lambda file, *part: (taken.append(part), fallocate(file, *part))[1]
            )
        else:
            monkeypatch.delattr("os.posix_fallocate")
            monkeypatch.setattr(
                _rows, "range", lambda start, end, _: (taken.append((start, end - start)), [start])[1], raising=False
            )
        return taken

    def test_it_is_taken_in_steps_and_not_twice(self, tmp_path, reserved):
        store = opened(12 * 17, tmp_path / "rows")
        for count, total in ((5, 60), (1, 120), (4, 120), (1, 180), (6, 204)):
            added(store, rows(count, count))
            assert sum(length for _, length in reserved) == total
        assert reserved == [(0, 60), (60, 60), (120, 60), (180, 24)]
        assert store.values[:, 0].tolist() == [5] * 5 + [1] + [4] * 4 + [1] + [6] * 6

    def test_what_is_there_is_left_as_it_is(self, tmp_path, reserved):
        store = opened(12 * 17, tmp_path / "rows")
        store.use(places := added(store, rows(7, 3)))
        checks = store.used_checks().copy()
        again = RowStore(12 * 17, tmp_path / "rows")
        again.open(3, kept=True)
        assert again.restore([places], checks, 7)
        reserved.clear()
        added(again, rows(1, 4))
        assert reserved == [(84, 36)]
        assert again.values[:8, 0].tolist() == [3] * 7 + [4]

    def test_a_full_disk_is_an_error_that_can_be_told(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        store = opened(path=tmp_path / "rows")
        monkeypatch.setattr("os.posix_fallocate", full, raising=False)
        with pytest.raises(OSError, match="No space left on device"):
            added(store, rows(2, 1))
        assert store.room == len(store.values)
        monkeypatch.undo()
        assert added(store, rows(2, 1)).tolist() == [0, 1]
