import numpy as np
import pytest

from detection.commands.extract_features import export_regions, extract_features, maps_bytes
from detection.features import extract_region_features
from detection.storage import file_stem, read_arrays


def test_bytes_are_those_on_disk(run, open_run):
    experiment = open_run(run)
    pyramids = [experiment.source.pyramid(one) for one in experiment.images]
    held = sum(one.nbytes for pyramid in pyramids for maps in pyramid.maps for one in maps)
    files = [experiment.source.cache().path(one.image_id).stat().st_size for one in experiment.images]
    estimated = maps_bytes(experiment.source, experiment.images)
    # The maps are exact; of each header there is an estimate.
    assert estimated == held + 1024 * len(files)
    assert held < sum(files) <= estimated
    assert maps_bytes(experiment.source, []) == 0


@pytest.mark.parametrize("of", ["proposals", "own"])
def test_export(run, open_run, tmp_path, of):
    experiment = open_run(run)
    images = experiment.test_images[:2]
    own = {images[0].image_id: np.array([[1, 2, 30, 40]], np.float32), images[1].image_id: np.zeros((0, 4), np.float32)}
    boxes = None if of == "proposals" else own
    facts = export_regions(experiment.source, images, boxes, "pool5", tmp_path / "out", experiment.work)
    wanted = {
        one.image_id: experiment.source.proposals(one).boxes if boxes is None else own[one.image_id] for one in images
    }
    assert facts == {"images": 2, "regions": sum(map(len, wanted.values()))}
    arrays, metadata = read_arrays(tmp_path / "out" / "sub%20dir%2Ftest%200.safetensors")
    assert metadata == {
        "format_version": "1", "image_id": "sub dir/test 0", "layer": "pool5", "height": "100", "width": "160",
    }  # fmt: skip
    assert arrays["boxes"].tobytes() == wanted["sub dir/test 0"].tobytes()
    direct = extract_region_features(
        images[0].path, wanted[images[0].image_id], extractor=experiment.source.extractor()
    )  # fmt: skip
    assert arrays["values"].tobytes() == direct.values.tobytes()
    assert arrays["values"].dtype == np.float32
    empty, _ = read_arrays(tmp_path / "out" / "test1.safetensors")
    assert len(empty["values"]) == len(wanted["test1"])


def test_vectors_of_objects_have_their_labels(run, open_run):
    experiment = open_run(run)
    extract_features(experiment, export="pool5", of="objects")
    folder = experiment.run.regions / "pool5" / "objects"
    assert len(list(folder.iterdir())) == len(experiment.images)
    for image in experiment.images:
        arrays, metadata = read_arrays(folder / f"{file_stem(image.image_id)}.safetensors")
        assert metadata["classes"].split("\n") == ["box", "disc"]
        assert arrays["boxes"].tobytes() == image.boxes.tobytes()
        assert arrays["labels"].tobytes() == image.labels.tobytes()
        assert arrays["difficult"].tobytes() == image.difficult.tobytes()
        assert len(arrays["values"]) == len(image.labels)
    extract_features(experiment, export="pool5")
    _, metadata = read_arrays(experiment.run.regions / "pool5" / "proposals" / "test1.safetensors")
    assert "classes" not in metadata
