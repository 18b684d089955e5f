import pickle

import pytest

from detection.data import DataError, Problem, Problems


def test_reports_are_counted_once_and_kept_in_order():
    problems = Problems()
    problems.skip("missing image", "b.jpg", "no such file")
    problems.repair("box outside", "a.xml", "object 1")
    problems.skip("missing image", "b.jpg", "no such file")
    assert problems.records == (
        Problem("left out", "missing image", "b.jpg", "no such file"),
        Problem("repaired", "box outside", "a.xml", "object 1"),
    )
    assert len(problems) == 2


def test_summary_counts_by_kind_and_names_a_few_files():
    problems = Problems()
    assert problems.summary() == []
    for number in range(7, 0, -1):
        problems.skip("missing image", f"folder/{number}.jpg", "no such file")
    problems.repair("box outside", "a.xml", "object 1")
    problems.repair("box outside", "a.xml", "object 2")
    assert problems.summary() == [
        "7 left out: missing image: 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg and 2 more",
        "2 repaired: box outside: a.xml",
    ]


def test_records_of_workers_are_merged():
    worker = Problems()
    worker.skip("missing image", "b.jpg", "no such file")
    problems = Problems()
    for _ in range(2):
        problems.extend(pickle.loads(pickle.dumps(worker.records)))
    assert problems.records == worker.records
    with pytest.raises(DataError, match="missing image"):
        Problems(strict=True).extend(worker.records)


@pytest.mark.parametrize("report", ["skip", "repair"])
def test_strict_raises_at_once(report):
    with pytest.raises(DataError) as caught:
        getattr(Problems(strict=True), report)("empty box", "a.xml", "object 1")
    assert str(caught.value) == "a.xml: empty box: object 1"


def test_an_error_survives_pickling_and_can_be_recorded():
    error = pickle.loads(pickle.dumps(DataError("unreadable image", "x.jpg", "cut off")))
    problems = Problems()
    problems.skip_error(error)
    assert problems.records == (Problem("left out", "unreadable image", "x.jpg", "cut off"),)
