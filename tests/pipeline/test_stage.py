"""A stage from outside: nothing of the package is touched to add one."""

import pytest
import yaml

from detection.pipeline.runner import run_all
from detection.pipeline.stage import Stage, recorded
from detection.pipeline.stages import STAGES
from detection.pipeline.stages.detections import DETECTIONS, read_detections
from detection.pipeline.stages.misses import MISSES
from detection.storage import fingerprint, write_text


def counts_file(experiment):
    return experiment.run.path / "counts.txt"


def count(experiment):
    """The number of detections of each image, on file."""
    found = read_detections(experiment)
    write_text(counts_file(experiment), "".join(f"{one.image_id}\t{len(one.scores)}\n" for one in found))
    return {"images": len(found)}


COUNTS = Stage(
    name="counts",
    command="counts",
    place=counts_file,
    key=lambda experiment: fingerprint("counts", DETECTIONS.key(experiment)),
    kept=lambda experiment: recorded(experiment, "counts", counts_file(experiment)),
    run=count,
    needs=lambda _: (DETECTIONS,),
    files=lambda experiment: (counts_file(experiment),),
)


def printed(experiment):
    return experiment.work.console.file.getvalue()


def test_a_stage_from_outside_is_made_once_and_again_when_its_input_changes(run, open_run):
    experiment = open_run(run)
    run_all(experiment, (*STAGES, COUNTS))
    found = read_detections(experiment)
    assert (run / "counts.txt").read_text().splitlines() == [f"{one.image_id}\t{len(one.scores)}" for one in found]
    figures = yaml.safe_load((run / "run.yaml").read_text())["stages"]["counts"]
    assert (figures["images"], figures["key"]) == (5, COUNTS.key(experiment))

    again = open_run(run)
    COUNTS.make(again)
    assert printed(again).endswith("counts: done before\n")
    (run / "counts.txt").write_text("changed")
    COUNTS.make(again)
    assert printed(again).endswith(" s; images 5\n")

    other = open_run(run, "--postprocess.max_per_class=1")
    run_all(other, (*STAGES, COUNTS))
    assert "counts: done before" not in printed(other)
    assert {line.split("\t")[1] for line in (run / "counts.txt").read_text().splitlines()} <= {"0", "1", "2"}


def test_what_was_killed_before_its_record_is_recorded_by_the_next_call(run, open_run):
    """Settings too: the next command may be given the run alone."""
    experiment = open_run(run, "--evaluation.iou_threshold=0.6")
    before = experiment.run.read()
    MISSES.run(experiment)
    MISSES.make(experiment)
    assert printed(experiment).endswith("misses: done before\n")
    record = experiment.run.read()
    assert (before["settings"] or {}).get("evaluation") != record["settings"]["evaluation"]
    assert record["settings"]["evaluation"]["iou_threshold"] == 0.6
    made = record["stages"].pop("misses")
    assert made["key"] == MISSES.key(experiment)
    assert set(made) == {"key", "finished"}  # nobody knows the figures
    before["stages"].pop("misses", None)
    assert record["stages"] == before["stages"]


def test_it_is_refused_without_what_it_needs(run, open_run):
    experiment = open_run(run, "--postprocess.max_per_class=1")
    with pytest.raises(ValueError, match=r"test\.json: expected detections .* of other settings .* sppnet detect"):
        COUNTS.make(experiment)
    with pytest.raises(
        ValueError, match=r"counts\.txt: expected counts .* there are none, .* whole; run sppnet counts"
    ):
        COUNTS.require(experiment)
    assert not (run / "counts.txt").exists()


def test_every_stage_has_a_name_of_its_own_and_stands_behind_what_it_needs(run, open_run):
    experiment, names = open_run(run), [one.name for one in STAGES]
    assert len(set(names)) == len(names)
    for place, stage in enumerate(STAGES):
        assert {one.name for one in stage.needs(experiment)} <= set(names[:place])
