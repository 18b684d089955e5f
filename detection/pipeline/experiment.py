"""What the stages of a run share: settings, class list, annotated images, the run folder and its record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from detection.data import (
    DatasetSource,
    Problems,
    Tally,
    classes_without_objects,
    dataset_classes,
    load_annotations,
    load_training,
    shared_ids,
)
from detection.detector_files import read_classes, read_description
from detection.learning import SVMSettings
from detection.pipeline.imported_proposals import proposal_settings_in_force
from detection.pipeline.keys import annotations_key, image_key
from detection.pipeline.settings import ClassesChanged, StageSettings
from detection.pipeline.source import ImageSource, shared_extractor
from detection.pipeline.work import Work, peak_memory_mib
from detection.proposals import ProposalSettings
from detection.storage import fingerprint
from detection.storage.run import RunFolder
from detection.types import AnnotatedImage

Value = TypeVar("Value")

# Settings of a data set on which its training images and the names of their objects depend.
_DECIDE_TRAINING_SET = ("root", "format", "train", "class_map", "held_out", "seed")
# Names in a warning.
_NAMED = 5


class Experiment:
    """One run of the pipeline.

    run: the folder of what the stages make. settings: of the stages. work: how they do it. limit: use the first so many
    images of each split. record: the settings as plain data, kept in ``run.yaml`` with every stage that is finished,
    and before the first one once data set and backbone have proved usable; None keeps nothing. preset_overrides:
    settings that are not those of the preset that `record` names, kept with it. classes_changed: what becomes of the
    run's class list where data and settings ask for another one: refused, the run's kept, or all trained anew. What is
    read of the data set is read when first asked for. Raises ValueError or DataError as the data set's readers do.
    """

    def __init__(
        self,
        run: RunFolder,
        settings: StageSettings,
        work: Work,
        limit: int | None = None,
        record: Mapping[str, Any] | None = None,
        preset_overrides: Mapping[str, Any] | None = None,
        classes_changed: ClassesChanged = "refuse",
    ) -> None:
        self.run, self.settings, self.work, self.limit, self.record = run, settings, work, limit, record
        self.preset_overrides, self.classes_changed = dict(preset_overrides or {}), classes_changed
        self._notes: set[str] = set()
        self._tally = Tally()
        self._kept: dict[str, tuple[str, Any]] = {}
        # The stages that have gone over all images in this call, and the ids of those that have what it makes: another
        # look could miss what a worker elsewhere has written. What is lost later is made where it is read.
        self.prepared: dict[str, frozenset[str]] = {}

    # The data set.

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The run's class list. Names are collected once: the list of a run stays while its training set does.

        Raises ValueError where the run has another list already, unless `classes_changed` says what then.
        """
        if self.edits or (self.trained() and "classes" not in self.run.read()):
            # As the detector has them, which was changed by hand, or trained before the record kept them.
            self.run.fix_classes(read_classes(self.run.detector), replace=True)
        fixed, anew = self.run.fixed_classes(), self.classes_changed == "retrain"
        collects = self.settings.dataset.classes == "collect"
        if fixed is not None and (
            self.edits or self.classes_changed == "keep" or (collects and not anew and self._is_same_training_set())
        ):
            return self.run.fix_classes(fixed)
        return self._fixed_as_asked(self.work.problems)

    def _fixed_as_asked(self, problems: Problems) -> tuple[str, ...]:
        wanted = dataset_classes(self.settings.dataset, problems)
        return self.run.fix_classes(wanted, replace=self.classes_changed == "retrain")

    def _takes_new_classes(self) -> bool:
        return not self.edits and self.classes_changed != "keep"

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

    @property
    def names(self) -> dict[str, str | None]:
        """Name of a class in the data -> its name after those changes; None: it was dropped."""
        found: dict[str, str | None] = {one: one for one in self.base_classes}
        for kind, name, *more in self.edits:
            if kind == "add":
                found[name] = name
            else:
                new = more[0] if kind == "rename" else None
                found = {one: new if now == name else now for one, now in found.items()}
        return found

    def named(self, class_map: Mapping[str, str | None]) -> dict[str, str | None]:
        """A ``class_map`` whose outcome are the names of now."""
        names = self.names
        return {**names, **{name: names.get(known, known) for name, known in class_map.items()}}

    def _named_at_first(self, class_map: Mapping[str, str | None]) -> dict[str, str | None]:
        """The same with names of `base_classes`: files may have been given the names of now."""
        first = {now: name for name, now in self.names.items() if now is not None and now not in self.base_classes}
        return {**first, **{name: first.get(known, known) for name, known in class_map.items()}}

    @cached_property
    def train_images(self) -> list[AnnotatedImage]:
        """The training images; classes without an object among them are warned of."""
        classes, before = self.base_classes, len(self.work.problems)
        images = self._load(load_training, self.settings.dataset.train_sources, classes, self._named_at_first)
        missing = classes_without_objects(images, classes)
        unknown = any(one.kind.startswith("unknown class") for one in self.work.problems.records[before:])
        if (missing or unknown) and self.settings.dataset.classes == "collect" and self._takes_new_classes():
            # Collected once, they may be others now; these faults are counted above.
            self._fixed_as_asked(Problems())
        if missing:
            self.warn(f"no training object of {', '.join(missing)}: left untrained, AP 0 where the test set has it")
        return images

    @cached_property
    def test_images(self) -> list[AnnotatedImage]:
        """The test images; those that are in the training set too are warned of, and what was read is printed.

        Raises ValueError where training and test set have one id for two different images: proposals and maps
        are kept by id.
        """
        training = self.train_images
        images = self._load(load_annotations, self.settings.dataset.test_sources, self.classes, self.named)
        shared = shared_ids(training, images)
        if shared:
            self.warn(f"{len(shared)} test images are training images too: {', '.join(shared[:_NAMED])}")
        self.say("\n".join(self._tally.lines()))
        return images

    def _load(
        self, load: Callable, sources: Sequence[DatasetSource], classes: Sequence[str], named: Callable[[Mapping], dict]
    ) -> list[AnnotatedImage]:
        sources = [replace(one, class_map=named(one.class_map)) for one in sources]
        images = load(sources, classes, self.work.problems, tally=self._tally)[: self.limit]
        self.say_notes()
        return [replace(one, path=one.path.absolute()) for one in images]

    def say_notes(self) -> None:
        """Print what was found about the data sets read so far, each thing once."""
        for note in self.work.problems.notes:
            if note not in self._notes:
                self._notes.add(note)
                self.say(note)

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

    @cached_property
    def proposal_settings(self) -> ProposalSettings:
        """The settings of the proposals; of imported ones with their fingerprint, as the run has it.

        Raises ValueError where the settings ask for imported proposals and the run has none, or the other way round.
        """
        return proposal_settings_in_force(self.settings.proposals, self.run)

    @cached_property
    def svm_settings(self) -> SVMSettings:
        """The settings of the SVMs for so many training images as there are."""
        return self.settings.svm.for_photos(len(self.train_images))

    @cached_property
    def source(self) -> ImageSource:
        """Where proposals and maps are read from, and how those absent are made."""
        source = self.source_of({one.image_id: image_key(one) for one in self.images})
        if self.run.read()["settings"] is None:
            self.keep_settings()
        return source

    def source_of(self, image_keys: Mapping[str, str]) -> ImageSource:
        """The same for images of which the data set need not know; image_keys: id -> `image_key`."""
        settings, device = self.settings.features, self.work.device
        return ImageSource(
            proposals_folder=self.run.proposals,
            features_folder=self.run.features,
            proposal_settings=self.proposal_settings,
            feature_settings=settings,
            image_keys=image_keys,
            weights=shared_extractor(settings, device).backbone.weights_fingerprint,
            device=device,
            threads=self.work.threads,
            keep_maps=self.work.keep_maps,
            head_file=self.run.finetuned / "head.safetensors",
        )

    # Keys that several stages share.

    @cached_property
    def train_key(self) -> str:
        """Key of the training images and their objects."""
        return annotations_key(self.train_images, self.source.image_keys)

    @property
    def test_key(self) -> str:
        """Key of the test images and their objects."""
        return annotations_key(self.test_images, self.source.image_keys)

    @cached_property
    def pooled_key(self) -> str:
        """Key of the pooled vectors, which do not depend on the layer that the SVMs see."""
        settings = replace(self.settings.features, layer="pool5", head="network")
        offsets = self.source.pooling_extractor().backbone.offsets
        return fingerprint(self.source.store().key, self.source.cache().key, offsets, settings)

    @property
    def vectors_key(self) -> str:
        """Key of the vectors that the SVMs see."""
        if self.settings.features.layer == "pool5":
            return self.pooled_key
        head = self.source.extractor().pooled_head
        return fingerprint(self.pooled_key, self.settings.features.layer, head.state())

    # The detector in the run folder, and the record.

    def trained(self) -> Mapping[str, Any]:
        """Keys of the parts of the detector in the run folder, and changes of its classes; none where it is absent."""
        try:
            return read_description(self.run.detector)["notes"]
        except FileNotFoundError:
            return {}

    def once(self, name: str, key: str, make: Callable[[], Value]) -> Value:
        """``make()``, or what it gave the last time for this name and key."""
        if name not in self._kept or self._kept[name][0] != key:
            self._kept[name] = key, make()
        return self._kept[name][1]

    def keep_settings(self) -> None:
        """Note the settings in ``run.yaml``, unless this experiment keeps none."""
        if self.record is not None:
            self.run.write_settings(self.record, self.preset_overrides)

    def record_stage(
        self, name: str, key: str, seconds: float, figures: Mapping[str, Any], files: Iterable[Path] = ()
    ) -> None:
        """Note in ``run.yaml`` that a stage is done, with the fingerprints of `files`, and print it."""
        self.keep_settings()
        self.run.record_stage(name, key, seconds, {**figures, "peak_memory_mib": peak_memory_mib()}, files)
        shown = ", ".join(f"{figure} {value}" for figure, value in figures.items())
        self.say(f"{name}: {seconds:.1f} s; {shown}")

    def say(self, text: str) -> None:
        """Log what is done."""
        self.work.log.info(text)

    def warn(self, text: str) -> None:
        """Log a warning."""
        self.work.log.warning(text)
