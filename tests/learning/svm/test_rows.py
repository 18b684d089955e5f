import numpy as np
import pytest

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
    cache.append_positives(np.array([4, 5]), np.zeros((2, 4), np.float32), 7)
    cache.append(np.array([6, 7, 8]), np.arange(12).reshape(3, 4), np.array([[0, 1], [0, 2], [3, 1]]))
    assert cache.keep(np.array([True, True, True, False, True])).tolist() == [7]
    assert (cache.negatives, cache.places.tolist(), cache.keys.tolist()) == (2, [4, 5, 6, 8], [[0, 1], [3, 1]])
    assert (cache.positives, cache.origins.tolist(), cache.boxes[2:, 0].tolist()) == (2, [7, 7], [0, 8])
