"""Settings of data, proposals and features: each changes what is read, found or computed of an image."""

import numpy as np
import pytest
from wires import Wire

from detection.storage import fingerprint


def photos(experiment):
    """The images of both sets with their objects, and the class list."""
    classes, both = experiment.classes, (experiment.train_images, experiment.test_images)
    return classes, [[(x.image_id, str(x.path), x.boxes.tolist(), x.labels.tolist()) for x in part] for part in both]


def proposals(experiment):
    """The boxes found in an image, or why there are none."""
    try:
        return experiment.source.proposals(experiment.train_images[0]).boxes.tolist()
    except ValueError as error:
        return str(error).split(":")[-1]


def vectors(experiment):
    """The vectors of an image's proposals, at the layer that the classifiers see."""
    source, image = experiment.source, experiment.test_images[1]
    boxes = np.concatenate([source.proposals(image).boxes, np.float32([[10, 10, 50, 50]])])
    return fingerprint(source.extractor().regions(source.pyramid(image), boxes, source.feature_settings.layer).values)


def data(value, *given):
    return Wire(value, photos, ("--dataset.root={sets}/years", *given), fresh=True)


def features(value, *given):
    return Wire(value, vectors, ("--features.short_sides=[64,96]", "--features.engine=torch", *given))


def head(value, *given):
    own = ("--features.levels=[1]", "--features.head={sets}/head.safetensors")
    return features(value, *own, *given)


RANDOM, RELEASED = "--features.weights=random", "--features.projection=released"
WIRES = {
    "dataset.root": data("{sets}/plain"),
    "dataset.format": data("yolo", "--dataset.root={sets}/both/VOC2007"),
    "dataset.classes": data("{sets}/classes.txt"),
    "dataset.class_map": data('{"cat": "lion"}'),
    "dataset.held_out": data(0.4, "--dataset.root={sets}/photos"),
    "dataset.max_pixels": data(11_000, "--dataset.root={sets}/sizes"),
    "dataset.seed": data(1, "--dataset.root={sets}/photos"),
    "proposals.method": Wire("imported", proposals),
    "proposals.preset": Wire("fast", proposals),
    "proposals.colour_spaces": Wire("[Lab]", proposals),
    "proposals.ks": Wire("[200]", proposals),
    "proposals.similarities": Wire("[F]", proposals),
    "proposals.sigma": Wire(3, proposals),
    "proposals.min_size": Wire(1500, proposals),
    "proposals.min_side": Wire(40, proposals),
    "proposals.max_overlap": Wire(0.5, proposals),
    "proposals.max_windows": Wire(7, proposals),
    "proposals.resize_width": Wire(90, proposals),
    "proposals.max_pixels": Wire(4000, proposals),
    "proposals.seed": Wire(4, proposals),
    "features.backbone": features("resnet18", RANDOM),
    "features.weights": features("random"),
    "features.stages": features("[32]"),
    "features.stage_weights": features("[1,2]"),
    "features.short_sides": features("[64,128]"),
    "features.max_long_side": features(100),
    "features.target_area": features(1000),
    "features.scale_rule": features("side", "--features.target_area=964"),
    "features.projection": features("released"),
    "features.projection_inset": features(1, RELEASED),
    "features.box_scaling": features("pixels", RELEASED, "--features.short_sides=[400]"),
    "features.levels": features("[2,1]"),
    "features.pooling": features("mean"),
    "features.pool_floor": features(0),
    "features.layer": head("fc6", "--features.layer=fc7"),
    "features.head": head("{sets}/other.safetensors", "--features.layer=fc7"),
    "features.seed": features(1, RANDOM),
    "features.engine": features("openvino"),
}
for _part in ("train", "test"):
    WIRES |= {
        f"dataset.{_part}.year": data("VOC2012"),
        f"dataset.{_part}.split": data("extra"),
        f"dataset.{_part}.root": data("{sets}/plain"),
        f"dataset.{_part}.format": data("yolo", "--dataset.root={sets}/both/VOC2007"),
        f"dataset.{_part}.name": data("other"),
        f"dataset.{_part}.images": data("{sets}/photos", "--dataset.root={sets}/coco.json"),
        f"dataset.{_part}.class_map": data({"cat": None}),
    }


@pytest.mark.parametrize("name", WIRES)
def test_the_setting_counts(name, before_and_after):
    before, after = before_and_after(name, WIRES[name])
    assert before != after
