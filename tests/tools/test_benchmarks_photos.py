import pytest


def test_a_row_each_and_memory_bounded(measure):
    options = ["--photos=[40,120]", "--classes=[2]", "--length=16", "--max_positives=20", "--stops=2"]
    (rows,) = measure("photos", *options)
    assert [row["photos"] for row in rows] == [40, 120]
    assert [row["positives"] for row in rows] == [40, 40]
    assert all(int(times) > 0 for row in rows for times in row["stopped"].split(", "))
    assert all(row[f"{step}_ms_a_photo"] > 0 for row in rows for step in ("mining", "regression"))


def test_interrupted_at_random_it_comes_to_the_same(benchmark, tmp_path, monkeypatch):
    from benchmarks import photos
    from benchmarks.photos import MadeUp, mined, regressed

    from detection.learning import RegressionSettings, SVMSettings, train_regressors, train_svms

    source, settings = MadeUp(60, 3, 16), SVMSettings(max_positives=30, memory_mib=8)
    svms, log = train_svms(source, 3, settings)
    (again, told), stopped = mined(source, settings, 3, tmp_path)
    assert stopped > 0
    assert again.weights.tobytes() == svms.weights.tobytes()
    assert told == log
    assert svms.trained.all()
    monkeypatch.setattr(photos, "SECONDS", 0)
    monkeypatch.setattr("detection.learning.regression_checkpoint._REST", 0)
    begun = []
    monkeypatch.setattr(MadeUp, "__call__", lambda self, after=None: begun.append(after) or behind(self, after))
    few = RegressionSettings(max_examples=30)
    regressors, (again, stopped) = train_regressors(source, 3, few), regressed(source, few, 3, tmp_path)
    # Each goes on behind the last photo of the one before.
    assert len(begun) == 2 + stopped > 2
    assert begun[:2] == [None, None]
    assert begun[2:] == sorted(begun[2:], key=int)
    assert again.weights.tobytes() == regressors.weights.tobytes()
    assert regressors.trained.all()


def behind(source, after):
    return map(source.photo, range(0 if after is None else int(after) + 1, source.photos))


def test_photos_are_the_same_whenever_they_are_asked_for(benchmark):
    from benchmarks.photos import MadeUp

    source = MadeUp(9, 3, 16)
    late = list(source("6"))
    assert [one.image_id for one in late] == ["7", "8"]
    assert late[1].proposals.values.tobytes() == source.photo(8).proposals.values.tobytes()
    with pytest.raises(StopIteration):
        next(source("8"))
