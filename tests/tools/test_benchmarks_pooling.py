OPTIONS = ["--proposals=30", "--short_side=160", "--channels=[16,5]", "--repeats=1"]


def test_every_bin_equals_the_peer_s(measure):
    (rows,) = measure("pooling", *OPTIONS)
    assert [row["channels"] for row in rows] == [16] * 3 + [5] * 3
    assert [row.get("bins_that_differ") for row in rows] == [None, 0, None] * 2
    assert all(row["times_faster"] > 0 for row in rows)


def test_bins_that_differ_are_counted(benchmark, measure, monkeypatch):
    from benchmarks import pooling

    pool = pooling.spatial_pyramid_pool
    monkeypatch.setattr(pooling, "spatial_pyramid_pool", lambda *arguments: pool(*arguments) + 1)
    (rows,) = measure("pooling", *OPTIONS)
    assert [rows[place]["bins_that_differ"] for place in (1, 4)] == [30 * 16 * 50, 30 * 5 * 50]


def test_cells_lie_on_the_map(benchmark):
    from benchmarks import pooling
    from benchmarks.inputs import photo_with_proposals

    photo = photo_with_proposals(None)
    cells, (rows, columns) = pooling.cells_of(photo, 50, 160)
    assert cells.shape == (50, 4)
    assert (cells[:, 2:] > cells[:, :2]).all()
    assert (cells >= 0).all()
    assert (cells[:, 2:] <= [columns, rows]).all()
    assert (rows, columns) == (10, 15)
    assert benchmark.main(["pooling", "--proposals=0"]) == 2
