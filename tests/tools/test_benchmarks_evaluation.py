import numpy as np


def test_every_step_is_a_row(measure):
    (rows,) = measure("evaluation", "--photos=[30]", "--classes=3", "--detections=9", "--resamples=10")
    assert [row["step"] for row in rows[:2]] == ["made up", "detections written"]
    assert rows[-1]["step"] == "report"
    assert all(row["s"] > 0 for row in rows)
    assert all(row["peak_MiB"] == "" or row["peak_MiB"] > 50 for row in rows)


def test_most_objects_are_found(benchmark):
    from benchmarks.evaluation import FOUND, made_up

    from detection.evaluation import evaluate

    images, found = made_up(200, 4, 20)
    assert [one.image_id for one in images] == [one.image_id for one in found]
    assert {len(one.scores) for one in found} == {20}
    result = evaluate(found, images, "abcd")
    assert np.isclose(result.mean_recall, FOUND, atol=0.05)
    assert 0.4 < result.mean_ap < 1
