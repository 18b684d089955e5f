"""What an experiment starts from: settings, class list, annotated images, and the keys of what stages make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from detection.data import DatasetSettings, DatasetSource, classes_without_objects, dataset_classes, load_annotations
from detection.detector import read_description
from detection.evaluation import DiagnosisSettings, EvaluationSettings, IntervalSettings
from detection.features import FeatureSettings
from detection.learning import FinetuneSettings, PostprocessSettings, RegressionSettings, SVMSettings
from detection.pipeline.finetune import initial_key
from detection.pipeline.imported_proposals import proposal_settings_in_force
from detection.pipeline.keys import (
    annotations_key,
    detection_key,
    evaluation_key,
    image_key,
    images_key,
    misses_key,
    report_key,
    training_key,
)
from detection.pipeline.source import ImageSource, shared_extractor
from detection.pipeline.work import Work
from detection.proposals import ProposalSettings
from detection.report import ReportSettings
from detection.storage import fingerprint
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage

# Settings of a data set on which its training images and the names of their objects depend.
_DECIDE_TRAINING_SET = ("root", "format", "train", "class_map", "held_out", "seed")
# Names in a warning.
_NAMED = 5


@dataclass(frozen=True)
class StageSettings:
    """The settings of every stage of an experiment, each defined beside its stage."""

    dataset: DatasetSettings
    proposals: ProposalSettings
    features: FeatureSettings
    finetune: FinetuneSettings
    svm: SVMSettings
    regression: RegressionSettings
    postprocess: PostprocessSettings
    evaluation: EvaluationSettings
    intervals: IntervalSettings
    diagnosis: DiagnosisSettings
    report: ReportSettings


class ExperimentInputs:
    """What the stages of one run start from.

    run: the folder of what they make. settings: of the stages. work: how they do it. limit: use the first so
    many images of each split. record: the settings as plain data, kept in ``run.yaml`` with every stage that
    they finish, and before the first one once data set and backbone have proved usable; None keeps nothing.
    preset_overrides: settings that are not those of the preset that `record` names, kept with it.
    What is read of the data set is read when first asked for. Raises ValueError or DataError as the data set's
    readers do.
    """

    def __init__(
        self,
        run: RunFolder,
        settings: StageSettings,
        work: Work,
        limit: int | None = None,
        record: Mapping[str, Any] | None = None,
        preset_overrides: Mapping[str, Any] | None = None,
    ) -> None:
        # What is kept and every key name the engine that computes, never "auto".
        settings = replace(settings, features=settings.features.for_device(work.device))
        self.run, self.settings, self.work, self.limit, self.record = run, settings, work, limit, record
        self._told: set[str] = set()
        self.preset_overrides = dict(preset_overrides or {})

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The run's class list. Names are collected once: the list of a run stays while its training set does.

        Raises ValueError where the run has another list already.
        """
        if self.edits:
            return tuple((self.run.detector / "classes.txt").read_text(encoding="utf-8").splitlines())
        return self._listed_classes()

    def _listed_classes(self) -> tuple[str, ...]:
        fixed = self.run.fixed_classes()
        if fixed is not None and self.settings.dataset.classes == "collect" and self._is_same_training_set():
            return fixed
        return self.run.fix_classes(dataset_classes(self.settings.dataset, self.work.problems))

    def _is_same_training_set(self) -> bool:
        kept = (self.run.read()["settings"] or {}).get("dataset", {})
        now = (self.record or {}).get("dataset", {})
        return all(kept.get(name) == now.get(name) for name in _DECIDE_TRAINING_SET)

    @property
    def edits(self) -> list[list[str]]:
        """Classes added to the run's detector, dropped and renamed since it was trained, in order."""
        return self.trained().get("edits", [])

    @cached_property
    def base_classes(self) -> tuple[str, ...]:
        """The class list before those changes, in which the labels of the training images count."""
        return tuple(self.trained().get("base_classes", ())) or self.classes

    @cached_property
    def train_images(self) -> list[AnnotatedImage]:
        """The training images; classes without an object among them are warned of."""
        classes = self.base_classes
        images = self._load(self.settings.dataset.train_sources, classes)
        missing = classes_without_objects(images, classes)
        if missing:
            self.warn(f"no training object of {', '.join(missing)}: left untrained, AP 0 where the test set has it")
        return images

    @cached_property
    def test_images(self) -> list[AnnotatedImage]:
        """The test images; those that are in the training set too are warned of.

        Raises ValueError where training and test set have one id for two different images: proposals and maps
        are kept by id.
        """
        images = self._load(self.settings.dataset.test_sources, self.classes)
        training = {one.image_id: one for one in self.train_images}
        shared = [(one, training[one.image_id]) for one in images if one.image_id in training]
        for one, other in shared:
            if image_key(one) != image_key(other):
                raise ValueError(f"image {one.image_id!r}: expected one file, got {other.path} and {one.path}")
        if shared:
            some = ", ".join(one.image_id for one, _ in shared[:_NAMED])
            self.warn(f"{len(shared)} test images are training images too: {some}")
        return images

    def _load(self, sources: Sequence[DatasetSource], classes: Sequence[str]) -> list[AnnotatedImage]:
        """The images of splits; what was found about the sets is printed once."""
        images = load_annotations(sources, classes, self.work.problems)[: self.limit]
        for note in self.work.problems.notes:
            if note not in self._told:
                self._told.add(note)
                self.work.console.print(note, highlight=False, markup=False, soft_wrap=True)
        return images

    @property
    def images(self) -> list[AnnotatedImage]:
        """Training and test images, each once."""
        return list({one.image_id: one for one in [*self.train_images, *self.test_images]}.values())

    @property
    def split(self) -> str:
        """Name of the test split in file names; several are joined by ``+``. Raises ValueError where there is none."""
        if not self.settings.dataset.test:
            raise ValueError("dataset.test: expected at least one split to detect in, got none")
        return "+".join(dict.fromkeys(one.split for one in self.settings.dataset.test)).replace("/", "_")

    @property
    def detections_file(self) -> Path:
        """Where the test split's detections lie."""
        return self.run.detections / f"{self.split}.json"

    @property
    def head_file(self) -> Path:
        """Where fine-tuned fc6 and fc7 lie."""
        return self.run.finetuned / "head.safetensors"

    @cached_property
    def proposal_settings(self) -> ProposalSettings:
        """The settings of the proposals; of imported ones with their fingerprint, as the run has it.

        Raises ValueError where the settings ask for imported proposals and the run has none, or the other way round.
        """
        return proposal_settings_in_force(self.settings.proposals, self.run)

    @cached_property
    def source(self) -> ImageSource:
        """Where proposals and maps are read from, and how those absent are made."""
        settings, device = self.settings.features, self.work.device
        source = ImageSource(
            proposals_folder=self.run.proposals,
            features_folder=self.run.features,
            proposal_settings=self.proposal_settings,
            feature_settings=settings,
            image_keys={one.image_id: image_key(one) for one in self.images},
            weights=shared_extractor(settings, device).backbone.weights_fingerprint,
            device=device,
            threads=self.work.threads,
            head_file=self.head_file,
        )
        if self.record is not None and self.run.read()["settings"] is None:
            self.run.write_settings(self.record, self.preset_overrides)
        return source

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.work.console.print(f"warning: {text}", style="yellow", highlight=False, markup=False)

    # What each stage makes is named by a key of all that went into it.

    @cached_property
    def _pooled_key(self) -> str:
        """Key of the pooled vectors, which do not depend on the layer that the SVMs see."""
        settings = replace(self.settings.features, layer="pool5", head="network")
        offsets = self.source.pooling_extractor().backbone.offsets
        return fingerprint(self.source.store().key, self.source.cache().key, offsets, settings)

    @property
    def _vectors_key(self) -> str:
        """Key of the vectors that the SVMs see."""
        if self.settings.features.layer == "pool5":
            return self._pooled_key
        head = self.source.extractor().pooled_head
        return fingerprint(self._pooled_key, self.settings.features.layer, head.state())

    @property
    def finetune_key(self) -> str:
        """Key of the fine-tuned layers that the settings ask for; where fc6 and fc7 start is part of it."""
        initial = initial_key(self.source, self.settings.finetune)
        return training_key(
            self._train_key, fingerprint(self._pooled_key, initial), self.base_classes, self.settings.finetune
        )

    @cached_property
    def _train_key(self) -> str:
        return annotations_key(self.train_images, self.source.image_keys)

    @property
    def svm_key(self) -> str:
        """Key of the SVMs that the settings ask for, with the changes of classes since."""
        return self.edited_key("svms", self.edits)

    @property
    def regression_key(self) -> str:
        """Key of the box regressors that the settings ask for, with the changes of classes since."""
        return self.edited_key("regressors", self.edits)

    def edited_key(self, part: str, edits: list[list[str]]) -> str:
        """Key of a part ("svms", "regressors") that the settings ask for after these changes of classes."""
        if part == "svms":
            vectors, settings = self._vectors_key, self.settings.svm
        else:
            vectors, settings = self._pooled_key, self.settings.regression
        key = training_key(self._train_key, vectors, self.base_classes, settings)
        return fingerprint(key, edits) if edits else key

    def extra_svm_key(self, annotations: str) -> str:
        """Key of an SVM trained on other annotations (their key) with the settings of this run."""
        return training_key(annotations, self._vectors_key, (), self.settings.svm)

    @property
    def detections_key(self) -> str:
        """Key of the test split's detections by the detector in the run folder."""
        test_key = images_key(self.test_images, self.source.image_keys)
        return detection_key(test_key, self._vectors_key, self.trained(), self.settings.postprocess)

    @property
    def evaluation_key(self) -> str:
        """Key of the figures of those detections."""
        truth = annotations_key(self.test_images, self.source.image_keys)
        settings = (self.settings.evaluation, self.settings.intervals)
        return evaluation_key(self.detections_key, truth, self.classes, settings)

    @property
    def misses_key(self) -> str:
        """Key of why objects were missed by those detections."""
        truth = annotations_key(self.test_images, self.source.image_keys)
        # What is missed does not depend on how the curve is summed up.
        settings = replace(self.settings.evaluation, metric=EvaluationSettings.metric)
        return misses_key(self.detections_key, truth, self.classes, settings)

    @property
    def report_key(self) -> str:
        """Key of the report of those detections: of all that the run's record holds but the report itself."""
        record = self.run.read()
        stages = {name: facts for name, facts in record["stages"].items() if name != "report"}
        shown = {**record, "stages": stages, "detector": self._detector_files()}
        return report_key(self.evaluation_key, self.misses_key, (self.settings.diagnosis, self.settings.report), shown)

    def _detector_files(self) -> Mapping[str, str]:
        try:
            return read_description(self.run.detector)["files"]
        except FileNotFoundError:
            return {}

    def trained(self) -> Mapping[str, Any]:
        """Keys of the parts of the detector in the run folder, and changes of its classes; none where it is absent."""
        try:
            return read_description(self.run.detector)["notes"]
        except FileNotFoundError:
            return {}
