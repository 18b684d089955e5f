import pytest

from detection.stages.generate import generate_proposals


def test_only_what_is_absent_is_made(run, open_run):
    experiment = open_run(run)
    store = experiment.source.store()
    before = {one.image_id: store.path(one.image_id).stat().st_mtime_ns for one in experiment.images}
    store.path("train1").unlink()
    store.path("sub dir/test 0").write_bytes(b"damaged")
    facts = generate_proposals(experiment.source, experiment.images, experiment.work)
    assert (facts["made"], facts["kept"]) == (2, 11)
    counts = [len(experiment.source.windows(one).boxes) for one in experiment.images]
    assert facts["windows_per_image"] == pytest.approx(sum(counts) / 13, abs=0.05)
    after = {one.image_id: store.path(one.image_id).stat().st_mtime_ns for one in experiment.images}
    assert {name for name in after if after[name] != before[name]} == {"train1", "sub dir/test 0"}


def test_no_image(run, open_run):
    experiment = open_run(run)
    assert generate_proposals(experiment.source, [], experiment.work) == {
        "made": 0, "kept": 0, "windows_per_image": 0.0,
    }  # fmt: skip
