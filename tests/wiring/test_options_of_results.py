"""Options of the tools that detect, measure, join and look: each changes what a call prints or writes."""

import pytest
from wires import Call

FILES = ("--detections={golden}/run/detections/test.json", "--annotations={golden}/images/VOCdevkit", "--split=test")
FIGURES = "--json={out}/figures.json"
RUN = ("--run={run}", "--workers=1")


def evaluate(change, *given, **more):
    return Call("evaluate", (*FILES, "--classes={sets}/names.txt", FIGURES, *given), (change,), **more)


def evaluate_run(change, *given):
    return Call("evaluate", (*RUN, FIGURES, *given), (change,))


FEW, TRUTH, SWAPPED = "{sets}/few.json", "{sets}/truth", "--classes={sets}/swapped.txt"
EVALUATE = {
    "evaluate --detections": evaluate_run(f"--detections={FEW}"),
    "evaluate --annotations": evaluate_run(f"--annotations={TRUTH}", "--split=test"),
    "evaluate --split": evaluate_run("--split=trainval"),
    "evaluate --metric": evaluate_run("--metric=voc10"),
    "evaluate --iou": evaluate_run("--iou=0.8"),
    "evaluate --json": evaluate_run("--json={out}/other.json"),
    "evaluate --classes": evaluate_run(SWAPPED, f"--detections={FEW}", "--split=test"),
    "evaluate --compare": evaluate_run(f"--compare={FEW}"),
    "evaluate --diagnose": evaluate_run("--diagnose"),
    "evaluate --detections --detections": evaluate(f"--detections={FEW}"),
    "evaluate --detections --annotations": evaluate(f"--annotations={TRUTH}"),
    "evaluate --detections --split": evaluate("--split=trainval"),
    "evaluate --detections --metric": evaluate("--metric=voc10", "--iou=0.8"),
    "evaluate --detections --iou": evaluate("--iou=0.8"),
    "evaluate --detections --json": evaluate("--json={out}/other.json"),
    "evaluate --detections --classes": evaluate(SWAPPED),
    "evaluate --detections --compare": evaluate(f"--compare={FEW}"),
    "evaluate --detections --diagnose": evaluate("--diagnose"),
    "evaluate --detections --evaluation": evaluate("--evaluation.iou_threshold=0.8"),
    "evaluate --detections --intervals": evaluate("--intervals.resamples=0"),
    "evaluate --detections --diagnosis": evaluate("--diagnosis.near_iou=0.9", "--diagnose", "--iou=0.95"),
    "evaluate --detections --strict": evaluate("--strict", "--annotations={sets}/faulty-truth", ends=(2,)),
}
MODEL, PHOTO = "--model={golden}/run/detector", "{golden}/images/VOCdevkit/VOC2007/JPEGImages/test1.jpg"
# What works on a cluster is shown in tests/pipeline/executors; there is no other processor than the CPU everywhere.
NO_CLUSTER, NO_DEVICE = ("--scheduler=nowhere://",), ("--device=none",)
DETECT = (MODEL, PHOTO, "--out={out}/found")
OTHERS = {
    "detect --model --model": Call("detect", DETECT, replaced={MODEL: "--model={golden}/detector_fc"}),
    "detect --model paths": Call("detect", DETECT, replaced={PHOTO: PHOTO.replace("test1", "test2")}),
    "detect --model --out": Call("detect", DETECT, ("--out={out}/elsewhere",)),
    "detect --model --threshold": Call("detect", DETECT, ("--threshold=0.01",)),
    "detect --model --margin": Call("detect", DETECT, ("--margin=-5",)),
    "detect --model --labels": Call("detect", DETECT, ("--labels=cvat",)),
    "detect --model --max_pixels": Call("detect", DETECT, ("--max_pixels=1000",), ends=(1, 2)),
    "detect --model --strict": Call(
        "detect", (MODEL, PHOTO, "{sets}/broken.jpg", "--out={out}/found"), ("--strict",), ends=(1, 2)
    ),
    "combine runs": Call("combine", ("--workers=1", "--out={out}/both", "{run}", "{run}"), ("{run}",)),
    "detect --model --scheduler": Call("detect", DETECT, NO_CLUSTER),
    "combine --scheduler": Call("combine", ("{run}", "{run}", "--out={out}/both", "--workers=1"), NO_CLUSTER),
    "detect --model --device": Call("detect", DETECT, NO_DEVICE, ends=(1, 2)),
    "combine --device": Call("combine", ("{run}", "{run}", "--out={out}/both", "--workers=1"), NO_DEVICE, ends=(1, 2)),
    "combine --out": Call("combine", ("{run}", "{run}", "--out={out}/both", "--workers=1"), ("--out={out}/new",)),
}


def look(change, *given):
    return Call("visualize_features", (*RUN, "--out={out}/looks", *given), change)


ONE, BOX = ("--images", "test1"), "--window=20,20,70,70"
LOOKS = {
    "visualize_features --images": look(("--images", "test2"), *ONE),
    "visualize_features --filter": look(("--filter", "3"), *ONE),
    "visualize_features --stage": look(("--stage=16",), *ONE),
    "visualize_features --short-side": look(("--short-side=64",), *ONE, "--features.short_sides=[64,96]"),
    "visualize_features --effective": look(("--effective=0.3",), *ONE, "--stage=16"),
    "visualize_features --strongest": look(("--strongest=1",), *ONE),
    "visualize_features --peaks": look(("--peaks=1",), *ONE, "--stage=16"),
    "visualize_features --pyramid": look(("--pyramid",), *ONE, "--filter", "3"),
    "visualize_features --split": look(("--split=test",), "--filter", "3"),
    "visualize_features --top": look(("--top=2",), "--filter", "3"),
    "visualize_features --window": look((BOX,), *ONE),
    "visualize_features --class": look(("--class=disc",), *ONE, BOX, "--class=box"),
    "visualize_features --channels": look(("--channels=1",), *ONE, BOX),
    "visualize_features --samples": look(("--samples", "disc"), "--samples", "box"),
    "visualize_features --count": look(("--count=2",), "--samples", "box"),
    "visualize_features --out": look(("--out={out}/elsewhere",), *ONE),
}
WIRES = {**EVALUATE, **OTHERS, **LOOKS}
HOW_MANY = "how many work at a time, which changes no result"
NOT_SHOWN = {
    "detect --model --workers": HOW_MANY,
    "detect --model --threads": HOW_MANY,
    **{
        f"{command} --mixed_processors": "needs workers with another processor"
        for command in ("detect --model", "combine")
    },
    "combine --workers": HOW_MANY,
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, check_call):
    check_call(WIRES[name])
