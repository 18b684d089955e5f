"""A whole experiment: each stage once, in order, skipped where what it would make is there already."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from detection.data import (
    DatasetSettings,
    classes_without_objects,
    dataset_classes,
    load_annotations,
    read_coco_results,
    write_coco_results,
    write_comp4,
)
from detection.detector import Detector, read_description
from detection.evaluation import Evaluation, EvaluationSettings, evaluate, table
from detection.features import FeatureSettings, limit_threads
from detection.learning import PostprocessSettings, RegressionSettings, SVMSettings
from detection.proposals import ProposalSettings
from detection.stages.detect import detect_images
from detection.stages.draw import draw_images
from detection.stages.extract import extract_maps
from detection.stages.generate import generate_proposals
from detection.stages.keys import annotations_key, detection_key, image_key, training_key
from detection.stages.source import ImageSource, shared_extractor
from detection.stages.train import train_box_regressors, train_linear_svms, write_mining_log
from detection.stages.work import Work
from detection.storage import fingerprint, write_json
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage, Detections

# Test images that are drawn, and the least SVM margin of the detections on them (SPP_net, spp_demo.m: -0.5).
DRAWN_IMAGES = 24
DRAWN_MIN_SCORE = -0.5


@dataclass(frozen=True)
class StageSettings:
    """The settings of every stage of an experiment, each defined beside its stage."""

    dataset: DatasetSettings
    proposals: ProposalSettings
    features: FeatureSettings
    svm: SVMSettings
    regression: RegressionSettings
    postprocess: PostprocessSettings
    evaluation: EvaluationSettings


class Experiment:
    """One run: a data set, the settings of its stages, and the folder of what they make.

    limit: use the first so many images of each split. What is read of the data set is read when first asked
    for. Raises ValueError or DataError as the data set's readers do.
    """

    def __init__(self, run: RunFolder, settings: StageSettings, work: Work, limit: int | None = None) -> None:
        self.run, self.settings, self.work, self.limit = run, settings, work, limit

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The run's class list: what was fixed before where names are collected, else what the settings say."""
        fixed = self.run.fixed_classes()
        if fixed is not None and self.settings.dataset.classes == "collect":
            return fixed
        return self.run.fix_classes(dataset_classes(self.settings.dataset, self.work.problems))

    @cached_property
    def train_images(self) -> list[AnnotatedImage]:
        """The training images; classes without an object among them are warned of."""
        images = load_annotations(self.settings.dataset.train_sources, self.classes, self.work.problems)[: self.limit]
        missing = classes_without_objects(images, self.classes)
        if missing:
            self.warn(f"no training object of {', '.join(missing)}: left untrained, AP 0 where the test set has it")
        return images

    @cached_property
    def test_images(self) -> list[AnnotatedImage]:
        """The test images; those that are in the training set too are warned of."""
        images = load_annotations(self.settings.dataset.test_sources, self.classes, self.work.problems)[: self.limit]
        shared = sorted({one.image_id for one in images} & {one.image_id for one in self.train_images})
        if shared:
            self.warn(f"{len(shared)} test images are training images too: {', '.join(shared[:5])}")
        return images

    @property
    def images(self) -> list[AnnotatedImage]:
        """Training and test images, each once."""
        return list({one.image_id: one for one in [*self.train_images, *self.test_images]}.values())

    @property
    def split(self) -> str:
        """Name of the test split in file names; several are joined by ``+``."""
        return "+".join(dict.fromkeys(one.split for one in self.settings.dataset.test)).replace("/", "_")

    @property
    def detections_file(self) -> Path:
        """Where the test split's detections lie."""
        return self.run.detections / f"{self.split}.json"

    @cached_property
    def source(self) -> ImageSource:
        """Where windows and maps are read from, and how those absent are made."""
        settings, device = self.settings.features, self.work.device
        return ImageSource(
            proposals_folder=self.run.proposals,
            features_folder=self.run.features,
            proposal_settings=self.settings.proposals,
            feature_settings=settings,
            image_keys={one.image_id: image_key(one) for one in self.images},
            weights=shared_extractor(settings, device).backbone.weights_fingerprint,
            device=device,
            threads=self.work.threads,
        )

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.work.console.print(f"[yellow]warning:[/yellow] {text}", highlight=False)

    # What each stage makes is named by a key of all that went into it.

    @cached_property
    def _vectors_key(self) -> str:
        extractor = shared_extractor(self.settings.features, self.work.device)
        head = extractor.pooled_head
        head_key = "none" if head is None else fingerprint(head.state())
        return fingerprint(
            self.source.store().key,
            self.source.cache().key,
            extractor.backbone.offsets,
            self.settings.features,
            head_key,
        )

    @cached_property
    def _train_key(self) -> str:
        return annotations_key(self.train_images, self.source.image_keys)

    @property
    def svm_key(self) -> str:
        """Key of the SVMs that the settings ask for."""
        return training_key(self._train_key, self._vectors_key, self.classes, self.settings.svm)

    @property
    def regression_key(self) -> str:
        """Key of the box regressors that the settings ask for."""
        return training_key(self._train_key, self._vectors_key, self.classes, self.settings.regression)

    @property
    def detections_key(self) -> str:
        """Key of the test split's detections by the detector in the run folder."""
        test_key = annotations_key(self.test_images, self.source.image_keys)
        return detection_key(test_key, self._vectors_key, self._trained(), self.settings.postprocess)

    def _trained(self) -> Mapping[str, str]:
        """Keys of the parts of the detector in the run folder; none where it is absent."""
        try:
            return read_description(self.run.detector)["notes"]
        except FileNotFoundError:
            return {}

    # The stages, in order.

    def generate(self) -> None:
        """Windows of all images."""
        self._images_stage("proposals", lambda: generate_proposals(self.source, self.images, self.work))

    def extract(self) -> None:
        """Maps of all images."""
        self._images_stage("features", lambda: extract_maps(self.source, self.images, self.work))

    def train_svms(self) -> None:
        """Linear SVMs: ``RUN/detector``, with its mining log. Regressors of the same data are kept."""
        if self._is_done("svms", self.svm_key, self._trained().get("svms")):
            return
        images, started = self._usable(self.train_images), time.monotonic()
        layer = self.settings.features.layer
        with limit_threads(self.work.threads):
            svms, log = train_linear_svms(self.source, images, len(self.classes), self.settings.svm, layer, self.work)
        for name in sorted({self.classes[entry.label] for entry in log.entries if not entry.converged}):
            self.warn(f"the SVM of {name} did not converge; see mining.csv")
        keeps_regressors = self._trained().get("regressors") == self.regression_key
        detector = Detector(
            classes=self.classes,
            proposal_settings=self.settings.proposals,
            extractor=self.source.extractor(),
            svms=svms,
            regressors=Detector.load(self.run.detector).regressors if keeps_regressors else None,
            postprocess_settings=self.settings.postprocess,
            notes={"svms": self.svm_key} | ({"regressors": self.regression_key} if keeps_regressors else {}),
        )
        detector.save(self.run.detector)
        write_mining_log(self.run.detector / "mining.csv", log, self.classes)
        kept = {self.classes[entry.label]: entry.negatives - entry.evicted for entry in log.entries}
        facts = {
            "images": log.images,
            "positives": {name: int(log.positives[i]) for i, name in enumerate(self.classes)},
            "hard_negatives": kept,
            "mean_norm": round(log.mean_norm, 3),
            "peak_training_mib": round(log.peak_bytes / 2**20, 1),
        }
        self._finish("svms", self.svm_key, started, facts)

    def train_regressors(self) -> None:
        """Box regressors, added to the detector in ``RUN/detector``. Raises ValueError without its SVMs."""
        if self._is_done("regressors", self.regression_key, self._trained().get("regressors")):
            return
        self._check_trained("svms", self.svm_key, "train_svm.py")
        images, started = self._usable(self.train_images), time.monotonic()
        with limit_threads(self.work.threads):
            regressors = train_box_regressors(
                self.source, images, len(self.classes), self.settings.regression, self.work
            )
        detector = Detector.load(self.run.detector)
        notes = {**detector.notes, "regressors": self.regression_key}
        dataclasses.replace(detector, regressors=regressors, notes=notes).save(self.run.detector)
        trained = [name for name, there in zip(self.classes, regressors.trained, strict=True) if there]
        self._finish("regressors", self.regression_key, started, {"images": len(images), "trained": trained})

    def detect(self) -> list[Detections]:
        """Detections of the test split: ``RUN/detections/SPLIT.json`` and the devkit's text files.

        Raises ValueError where the detector was trained with other settings or data.
        """
        self._check_trained("svms", self.svm_key, "train_svm.py")
        if "regressors" in self._trained():
            self._check_trained("regressors", self.regression_key, "train_bbox.py")
        key = self.detections_key
        if self._is_done("detections", key, key if self.detections_file.is_file() else None):
            return self.detections()
        started = time.monotonic()
        images = self._usable(self.test_images)
        found = detect_images(
            self.source, images, self.run.detector, self.settings.postprocess, self.run.detections / "parts", key,
            self.work,
        )  # fmt: skip
        write_coco_results(self.detections_file, found)
        write_comp4(self.run.detections, self.split, found, self.classes)
        shutil.rmtree(self.run.detections / "parts", ignore_errors=True)
        seconds = time.monotonic() - started
        facts = {
            "images": len(found),
            "detections": sum(len(one.scores) for one in found),
            "seconds_per_image": round(seconds / max(len(found), 1), 4),
        }
        self._finish("detections", key, started, facts)
        return found

    def detections(self) -> list[Detections]:
        """The test split's detections on file. Raises ValueError where they are absent or of other settings."""
        if self.run.stage_key("detections") != self.detections_key or not self.detections_file.is_file():
            raise ValueError(
                f"{self.detections_file}: expected detections of the settings in force, found none or older ones; "
                "run tools/detect.py"
            )
        return read_coco_results(self.detections_file, [one.image_id for one in self.test_images])

    def evaluate(self) -> Evaluation:
        """Average precision of the detections on file, printed and written to ``RUN/evaluation/SPLIT.json``.

        A test image that could not be read has no detections: its objects count as missed.
        """
        started, settings = time.monotonic(), self.settings.evaluation
        found = self.detections()
        result = evaluate(found, self.test_images, self.classes, **dataclasses.asdict(settings))
        self.work.console.print(table(result))
        write_json(self.run.evaluation / f"{self.split}.json", result.to_json())
        key = fingerprint(self.detections_key, settings)
        self._finish("evaluation", key, started, {"metric": settings.metric, "mAP": result.mean_ap})
        return result

    def draw(self) -> list[Path]:
        """Some test images with their detections: ``RUN/drawings``."""
        images = self.test_images[:DRAWN_IMAGES]
        return draw_images(images, self.detections(), self.classes, DRAWN_MIN_SCORE, self.run.drawings, self.work)

    def run_all(self) -> Evaluation:
        """Every stage in order, skipping what is done."""
        self.generate()
        self.extract()
        self.train_svms()
        self.train_regressors()
        self.detect()
        self.draw()
        return self.evaluate()

    # Helpers of the stages.

    def _usable(self, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
        """The images whose windows and maps are there, after making those that are absent."""
        self.generate()
        self.extract()
        store, cache = self.source.store(), self.source.cache()
        return [one for one in images if store.path(one.image_id).is_file() and cache.path(one.image_id).is_file()]

    def _images_stage(self, stage: str, make) -> None:
        started = time.monotonic()
        facts = make()
        if facts["made"] or self.run.stage_key(stage) is None:
            key = self.source.store().key if stage == "proposals" else self.source.cache().key
            self._finish(stage, key, started, facts)

    def _is_done(self, stage: str, key: str, found: str | None) -> bool:
        done = found == key and self.run.stage_key(stage) == key
        if done:
            self.work.console.print(f"{stage}: done before", highlight=False)
        return done

    def _check_trained(self, part: str, key: str, tool: str) -> None:
        found = self._trained().get(part)
        if found != key:
            state = "there are none" if found is None else "they are of other settings or data"
            raise ValueError(
                f"{self.run.detector}: expected {part} of the settings in force, {state}; run tools/{tool}"
            )

    def _finish(self, stage: str, key: str, started: float, facts: Mapping[str, Any]) -> None:
        seconds = time.monotonic() - started
        self.run.record_stage(stage, key, seconds, facts)
        shown = ", ".join(f"{name} {value}" for name, value in facts.items())
        self.work.console.print(f"{stage}: {seconds:.1f} s; {shown}", highlight=False)
