"""Options of the classifier of whole images: each changes what is trained, measured or written."""

import pytest
from wires import Call

TINY = (
    "--run={out}/run", "--workers=1", "--features.backbone=timm/mobilenetv3_small_050", "--features.weights=random",
    "--features.engine=torch", "--features.stages=[16]", "--features.levels=[2,1]", "--intervals.resamples=0",
)  # fmt: skip
SHAPES = "--dataset.root={golden}/images/VOCdevkit"
SMALL = ("--classifier.sizes=[64]", "--classifier.epochs=2", "--classifier.widths=[8,8]", "--classifier.batch_size=4")


def trained(option, change, *given):
    """The option and its wire: a classifier by softmax on one view, but for what is given."""
    return option, Call("train_classifier", (*TINY, SHAPES, *SMALL, "--views", "full", *given), change)


def of_classifier(name, value, *given):
    return trained(f"--classifier.{name}", (f"--classifier.{name}={value}",), *given)


SVM, UNFROZEN = "--classifier.method=svm", "--classifier.frozen=false"
WIRES = {
    f"train_classifier {option}": wire
    for option, wire in (
        of_classifier("method", "svm"),
        of_classifier("sizes", "[48]"),
        of_classifier("view", "crop"),
        of_classifier("flips", "false"),
        of_classifier("frozen", "false"),
        of_classifier("widths", "[8,6]"),
        of_classifier("epochs", 3),
        of_classifier("learning_rate", 0.1),
        of_classifier("backbone_rate", 0.0001, UNFROZEN),
        of_classifier("momentum", 0.1),
        of_classifier("weight_decay", 0.5),
        of_classifier("dropout", 0.1),
        of_classifier("batch_size", 2),
        of_classifier("svm_c", 0.01, SVM),
        of_classifier("seed", 1),
        trained("--folder", ("--folder={sets}/named",)),
        trained("--maps", ("--maps={sets}/maps",), SVM),
        trained("--onnx", ("--onnx",)),
        trained("--views", ("--views", "full", "crop")),
        trained("--sizes", ("--sizes", "48")),
        trained("--pyramids", ("--pyramids", "1", "2,1")),
        trained("--multi_sizes", ("--multi_sizes", "48"), "--views", "multi", "--multi_sizes", "64"),
    )
}


@pytest.mark.parametrize("name", WIRES)
def test_the_option_counts(name, check_call, monkeypatch):
    # What is exported, tests/classification/test_network.py runs; it takes half a minute.
    monkeypatch.setattr("detection.classification.classify.export_onnx", lambda _, path, *__, **___: path.touch())
    check_call(WIRES[name])
