import dataclasses

import numpy as np
import pytest


def test_image(benchmark, measure, finished, capsys):
    options = ["--photos=2", "--repeats=1", "--crops=3"]
    image, stages, rcnn = measure("image", f"--run={finished}", *options)
    assert [(row["method"].split(" (")[0], row["threads"]) for row in image] == [
        ("all in", 1),
        ("plain convolutions", 1),
        ("all in", 2),
        ("plain convolutions", 2),
        ("plain convolutions, scales in parallel", 2),
        ("all in, photos in parallel", 2),
    ]
    for own, peers in ((image[0], image[1:2]), (image[2], image[3:5]), (image[5], image[3:5])):
        for kind in ("cpu", "wall"):
            ratio = own[f"{kind}_s"] / min(row[f"{kind}_s"] for row in peers)
            assert own[f"of_convolutions_{kind}"] == pytest.approx(ratio)
        assert own["times_throughput"] == pytest.approx(image[0]["wall_s"] / own["wall_s"])
    shares = {row["stage"]: row["share"] for row in stages}
    assert shares.pop("sum") == pytest.approx(sum(shares.values()))
    assert [row["short_sides"] for row in rcnn] == [[96], [688], [480]]
    for row in rcnn:
        assert row["crops_timed"] == 3
        ours, theirs, both = (row[f"{name}_cpu_s"] for name in ("ours", "rcnn", "proposals"))
        assert min(ours, theirs, both) > 0
        assert row["times_without_proposals"] == pytest.approx(theirs / ours)
        assert row["times_with_proposals"] == pytest.approx((theirs + both) / (ours + both))
    assert "of convolutions cpu" in capsys.readouterr().out
    assert benchmark.main(["image", "--photos=0"]) == 2


def test_other_detections_with_other_threads_are_refused(benchmark, finished):
    from benchmarks import image
    from benchmarks.detectors import detector_of
    from benchmarks.inputs import sample_paths

    class Unsteady:
        extractor = detector_of(str(finished)).extractor

        def detect(self, path, threads):
            scores = np.full(1, threads, np.float32)
            return image.Detections("", np.array([[0, 0, 5, 5]], np.float32), scores, np.zeros(1, np.int64))

        def detect_many(self, paths, workers):
            return [self.detect(path, workers) for path in paths]

    with pytest.raises(ValueError, match="all in, 2 threads: expected the detections of one thread"):
        image.image_rows(Unsteady(), sample_paths()[:1], 1, 2)


def test_stages_are_those_of_detect(benchmark, finished):
    """One after the other, they give what the detector gives; box regression is asked for by suppression alone."""
    from benchmarks.detectors import detector_of, stage_methods
    from benchmarks.inputs import sample_paths

    detector, path = detector_of(str(finished)), sample_paths()[0]
    methods = stage_methods(detector, path)
    expected = detector.detect(path)
    found = methods["suppression"]()
    for field in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
    assert sum(map(len, methods["regression"]())) >= len(expected.scores) > 0
    without = stage_methods(dataclasses.replace(detector, regressors=None), path)
    assert list(methods) == ["decode", "proposals", "maps", "pooling", "scores", "regression", "suppression"]
    assert without.keys() == methods.keys() - {"regression"}
