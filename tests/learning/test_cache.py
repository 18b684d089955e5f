import numpy as np

from detection.learning._cache import ClassCache, RowStore


def rows(count, value):
    return np.full((count, 3), value, np.float32)


def test_places_are_used_again():
    store = RowStore()
    first, second = store.add(rows(2, 1)), store.add(rows(3, 2))
    store.use(first)
    store.use(second)
    store.use(second[:1])
    assert store.held_rows == 5
    store.release(second)
    assert store.held_rows == 3
    third = store.add(rows(4, 3))
    store.use(third)
    assert set(second[1:]) <= set(third)
    assert store.held_rows == 7
    assert (store.values[third] == 3).all()
    assert (store.values[second[0]] == 2).all()
    assert (store.values[first] == 1).all()


def test_growth_keeps_rows_and_wastes_little():
    store, places = RowStore(), []
    for i in range(400):
        places.append(store.add(rows(7, i)))
        store.use(places[-1])
    assert all((store.values[place] == i).all() for i, place in enumerate(places))
    assert store.held_bytes <= 1.5 * 2800 * 3 * 4


def test_a_class_keeps_what_is_wanted():
    cache = ClassCache()
    cache.append(np.array([4, 5]), np.zeros((0, 2), np.int64))
    cache.positives = 2
    cache.append(np.array([6, 7, 8]), np.array([[0, 1], [0, 2], [3, 1]]))
    assert cache.keep(np.array([True, True, True, False, True])).tolist() == [7]
    assert (cache.negatives, cache.places.tolist(), cache.keys.tolist()) == (2, [4, 5, 6, 8], [[0, 1], [3, 1]])
    assert cache.windows_of(0).tolist() == [1]
    assert cache.windows_of(1).tolist() == []
