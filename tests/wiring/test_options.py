"""Options of the tools: each changes what a call prints or writes, or how it ends."""

import pytest
from wires import Call

PHOTOS, YEARS, COCO = "{sets}/photos", "{sets}/years", "{sets}/coco.json"


def of_a_set(name, *more):
    """The wires of the options that every command of dataset.py has; more: options that it needs."""

    def call(path, *change):
        return Call("dataset", (name, path, *more), change)

    return {
        f"dataset {name} path": Call("dataset", (name, PHOTOS, *more), replaced={PHOTOS: YEARS}),
        f"dataset {name} --format": call("{sets}/both/VOC2007", "--format=yolo"),
        f"dataset {name} --splits": call(YEARS, "--splits=[extra]"),
        f"dataset {name} --classes": call(PHOTOS, "--classes={sets}/cat.txt"),
        f"dataset {name} --class_map": call(PHOTOS, '--class_map={"cat": null}'),
        f"dataset {name} --images": call(COCO, "--images={sets}/black"),
    }


def dataset(name, *given, change=()):
    return Call("dataset", (name, PHOTOS, *given), (change,))


NEW, SHEET = "--out={out}/new", "--out={out}/sheet.png"
ELSEWHERE = "--out={out}/elsewhere"
DATASET = {
    **of_a_set("check"),
    "dataset check --fix": dataset("check", change="--fix={out}/fixed"),
    **of_a_set("stats", "--proposals.preset=single"),
    "dataset stats --out": dataset("stats", "--sample=0", change="--out={out}/sizes.png"),
    "dataset stats --sample": dataset("stats", "--proposals.preset=single", change="--sample=1"),
    "dataset stats --seed": dataset("stats", "--proposals.preset=single", "--sample=1", change="--seed=1"),
    "dataset stats --proposals": dataset(
        "stats", "--sample=4", "--proposals.preset=single", change="--proposals.max_windows=1"
    ),
    **of_a_set("convert", "--to=coco", NEW),
    "dataset convert --to": dataset("convert", "--to=coco", NEW, change="--to=yolo"),
    "dataset convert --out": dataset("convert", "--to=coco", NEW, change=ELSEWHERE),
    "dataset convert --link": dataset("convert", "--to=coco", NEW, change="--link"),
    **of_a_set("split", NEW),
    "dataset split --out": dataset("split", NEW, change=ELSEWHERE),
    "dataset split --share": dataset("split", NEW, change="--share=0.5"),
    "dataset split --seed": dataset("split", NEW, change="--seed=1"),
    "dataset split --link": dataset("split", NEW, change="--link"),
    **of_a_set("show", SHEET),
    "dataset show --out": dataset("show", SHEET, change="--out={out}/other.png"),
    "dataset show --count": dataset("show", SHEET, change="--count=2"),
    "dataset show --columns": dataset("show", SHEET, change="--columns=2"),
    "dataset show --seed": dataset("show", SHEET, "--count=2", change="--seed=1"),
}


def compress(*given, change):
    return Call("compress", given, (change,))


HEAD, THIN = "--head={sets}/start.safetensors", "--out={out}/thin.safetensors"
COMPRESS = {
    "compress --out": compress(HEAD, THIN, "--fc6_rank=2", change="--out={out}/other.safetensors"),
    "compress --model": Call("compress", (THIN, "--fc6_rank=2", HEAD), replaced={HEAD: "--model={golden}/detector_fc"}),
    "compress --head": compress(HEAD, THIN, "--fc6_rank=2", change="--head={sets}/head.safetensors"),
    "compress --fc6_rank": compress(HEAD, THIN, "--fc6_rank=2", change="--fc6_rank=3"),
    "compress --fc7_rank": compress(HEAD, THIN, "--fc6_rank=2", change="--fc7_rank=2"),
    "compress --energy": compress(HEAD, THIN, "--fc6_rank=2", change="--energy=0.4"),
}


def in_run(command, *given, change):
    """A call on a copy of a finished run."""
    return Call(command, ("--run={run}", "--workers=1", *given), (change,))


TUNE = ("--folds=2", "--C=[0.001]", "--positive_weight=[2]")
IN_RUN = {
    "tune --C": in_run("tune", *TUNE, change="--C=[1]"),
    "tune --positive_weight": in_run("tune", *TUNE, change="--positive_weight=[9]"),
    "tune --folds": in_run("tune", *TUNE, change="--folds=3"),
    "tune --folds_seed": in_run("tune", *TUNE, change="--folds_seed=3"),
    "tune --quick": in_run("tune", *TUNE, change="--quick=true"),
    "calibrate --bins": in_run("calibrate", change="--bins=3"),
    "extract_features --dry-run": in_run("extract_features", "--features.short_sides=[64]", change="--dry-run"),
    "extract_features --export": in_run("extract_features", change="--export=pool5"),
    "extract_features --of": in_run("extract_features", "--export=pool5", change="--of=objects"),
    "extract_features --boxes": in_run("extract_features", "--export=pool5", change="--boxes={sets}/boxes.csv"),
    "run_pipeline --dry-run": in_run("run_pipeline", "--evaluation.iou_threshold=0.7", change="--dry-run"),
    "report --compare": in_run("report", change="--compare={run}"),
    "report --out": in_run("report", change="--out={out}/page.html"),
    "train_svm --add": Call("train_svm", ("--run={run}", "--workers=1"), ("--add=cat", "--photos={sets}/years")),
    "train_svm --photos": in_run("train_svm", "--add=cat", "--photos={sets}/years", change="--photos={sets}/photos"),
    "train_svm --photos_year": in_run(
        "train_svm", "--add=cat", "--photos={sets}/years", change="--photos_year=VOC2012"
    ),
    "train_svm --photos_split": in_run(
        "train_svm", "--add=dog", "--photos={sets}/years", change="--photos_split=extra"
    ),
    "train_svm --drop": in_run("train_svm", change="--drop=disc"),
    "train_svm --rename": Call("train_svm", ("--run={run}", "--workers=1"), ("--rename", "disc", "moon")),
}
WIRES = {**DATASET, **COMPRESS, **IN_RUN}
# Of no influence on any result, by design: how many work, and where.
NOT_SHOWN = {
    f"dataset {name} --workers": "processes over images" for name in ("check", "stats", "convert", "split", "show")
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, check_call):
    check_call(WIRES[name])
