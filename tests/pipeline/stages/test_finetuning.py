import csv
import dataclasses

import numpy as np
import pytest
import yaml

from detection.data import read_coco_results
from detection.detector import Detector
from detection.learning import FinetuneSettings
from detection.pipeline.runner import run_all
from detection.pipeline.stages.finetuning import FINETUNE, initial_head
from detection.pipeline.stages.svms import SVMS
from detection.storage import read_arrays, write_arrays

SMALL = (
    "--finetune.widths=[16,12]", "--finetune.iterations=[30]", "--finetune.learning_rates=[0.02]",
    "--finetune.snapshot_every=10", "--finetune.snapshot_batches=2", "--finetune.checkpoint_every=10",
    "--finetune.memory_mib=64", "--finetune.round_iterations=10", "--features.head=finetuned", "--workers=1",
)  # fmt: skip


@pytest.fixture
def tuned(open_run, run):
    def open_it(*options):
        return open_run(run, *SMALL, *options)

    return open_it


def test_from_proposals_to_detections(tuned, run):
    experiment = tuned("--features.layer=fc7")
    with pytest.raises(ValueError, match=r"head.safetensors: .* there are none, .* whole; run sppnet finetune"):
        SVMS.make(experiment)
    experiment = tuned("--features.layer=fc7")
    evaluation = run_all(experiment)
    assert evaluation.mean_ap > 0
    arrays, metadata = read_arrays(run / "finetuned/head.safetensors")
    assert metadata["key"] == FINETUNE.key(experiment)
    assert {name: value.shape[0] for name, value in arrays.items() if name.endswith("bias")} == {
        "fc6.bias": 16, "fc7.bias": 12, "fc8.bias": 3,
    }  # fmt: skip
    with (run / "finetuned/log.csv").open() as file:
        assert [row["iteration"] for row in csv.DictReader(file)] == ["10", "20", "30"]
    facts = yaml.safe_load((run / "run.yaml").read_text())["stages"]["finetune"]
    assert facts["chosen_iteration"] in (10, 20, 30)
    assert facts["held_out_images"] == 2
    detector = Detector.load(run / "detector")
    assert detector.svms.layer == "fc7"
    assert detector.regressors.layer == "pool5"
    ids = [one.image_id for one in experiment.test_images]
    found = read_coco_results(run / "detections/test.json", ids)
    for image, expected in zip(experiment.test_images, found, strict=True):
        got = detector.detect(str(image.path), image.image_id)
        for name in ("boxes", "scores", "labels"):
            assert getattr(got, name).tobytes() == getattr(expected, name).tobytes(), image.image_id


def test_damaged_layers_reach_no_svms_and_come_again_from_the_checkpoint(tuned, run, caplog):
    FINETUNE.make(tuned("--features.layer=fc7"))
    path = run / "finetuned/head.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    experiment = tuned("--features.layer=fc7")
    with pytest.raises(ValueError, match=r"head\.safetensors: damaged|none that are whole; run sppnet finetune"):
        SVMS.make(experiment)
    assert not (run / "mining").exists()
    FINETUNE.make(tuned("--features.layer=fc7"))
    assert path.read_bytes() == whole
    assert f"{path}: damaged: expected content of fingerprint" in caplog.text


def test_regressors_serve_every_layer_and_old_layers_are_refused(tuned, run):
    FINETUNE.make(tuned("--features.layer=fc7"))
    before = tuned("--features.layer=pool5").trained()["regressors"]
    six = tuned("--features.layer=fc6")
    SVMS.make(six)
    assert six.trained()["regressors"] == before
    assert Detector.load(run / "detector").regressors is not None
    changed = tuned("--features.layer=fc6", "--finetune.seed=9")
    with pytest.raises(ValueError, match=r"they are of other settings or data; run sppnet finetune"):
        SVMS.make(changed)
    FINETUNE.make(six)
    assert "finetune: done before" in six.work.console.file.getvalue()


def test_mirrored_images_have_maps_of_their_own(tuned, run):
    experiment = tuned("--features.layer=fc7", "--finetune.flips=true", "--finetune.random_scale=true")
    FINETUNE.make(experiment)
    source, image = experiment.source, experiment.train_images[0]
    folders = {source.cache().folder, source.cache(mirrored=True).folder}
    assert set((run / "features").iterdir()) == folders
    plain, mirrored = source.pyramid(image), source.pyramid(image, mirrored=True)
    assert plain.maps[0][0].shape == mirrored.maps[0][0].shape
    assert not np.array_equal(plain.maps[0][0], mirrored.maps[0][0])


def test_vectors_of_a_mirrored_proposal_are_near_those_of_its_mirror_image(tuned):
    """A network is not symmetric, but the mirrored proposal in the mirrored image shows the same object."""
    experiment = tuned("--features.layer=fc7")
    source, image = experiment.source, experiment.train_images[0]
    extractor = source.pooling_extractor()
    width = image.size[1]
    boxes = image.boxes
    mirrored = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    plain = extractor.pool(source.pyramid(image), boxes).values
    same = extractor.pool(source.pyramid(image, mirrored=True), mirrored).values
    other = extractor.pool(source.pyramid(image, mirrored=True), boxes).values
    assert np.linalg.norm(plain - same) < np.linalg.norm(plain - other)


def test_where_layers_start(tuned, tmp_path):
    source = tuned("--features.layer=fc7").source
    settings = FinetuneSettings(widths=(3, 2))
    assert initial_head(source, settings)[2].startswith("Gaussian: the backbone and levels have no fc6")
    assert initial_head(source, dataclasses.replace(settings, initial="gaussian"))[2] == "Gaussian"
    length = source.pooling_extractor().length("pool5")
    arrays = {"fc6.weight": (3, length), "fc6.bias": (3,), "fc7.weight": (2, 3), "fc7.bias": (2,)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in arrays.items()}
    path = tmp_path / "fc.safetensors"
    write_arrays(path, arrays, {})
    given, start, _ = initial_head(source, dataclasses.replace(settings, initial=str(path)))
    assert (set(given), start) == (set(arrays), 0)
    del arrays["fc7.bias"]
    write_arrays(path, arrays, {})
    with pytest.raises(ValueError, match=r"fc.safetensors: expected fc7.bias, found none"):
        initial_head(source, dataclasses.replace(settings, initial=str(path)))


def test_alexnets_own_layers_are_taken_where_a_level_fits(open_run, run):
    options = ("--features.backbone=alexnet", "--features.weights=random", "--features.stages=[16]")
    source = open_run(run, *options, "--features.levels=[2,6]").source
    given, start, origin = initial_head(source, FinetuneSettings(widths=(4096, 4096)))
    assert start == 256 * 4
    assert given["fc6.weight"].shape == (4096, 256 * 36)
    assert "value 1024" in origin
    assert initial_head(source, FinetuneSettings(widths=(8, 8)))[0] == {}
    other = open_run(run, *options, "--features.levels=[2,1]").source
    assert initial_head(other, FinetuneSettings(widths=(4096, 4096)))[0] == {}
