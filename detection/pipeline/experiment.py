"""A whole experiment: each stage once, in order, skipped where what it would make is there already."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from detection.data import read_coco_results, write_coco_results, write_comp4
from detection.detector import Detector, read_calibration
from detection.engines import limit_threads
from detection.evaluation import Diagnosis, Evaluation, diagnose, difference, evaluate, intervals, table
from detection.learning import MiningCheckpoint
from detection.pipeline.bookkeeping import Bookkeeping
from detection.pipeline.detect import detect_images
from detection.pipeline.draw import draw_images
from detection.pipeline.finetune import finetune_layers, head_facts, mirrored_maps, write_head
from detection.pipeline.inputs import StageSettings
from detection.pipeline.misses import explain_images, read_causes, write_causes
from detection.pipeline.prepare import MAPS, PROPOSALS
from detection.pipeline.report import gather, run_names
from detection.pipeline.source import uses_finetuned
from detection.pipeline.train import (
    SAMPLES,
    train_box_regressors,
    train_linear_svms,
    write_mining_log,
    write_training_samples,
)
from detection.report import Comparison, ReportRun, check_target, write_report
from detection.storage import file_stem, fingerprint, read_metadata, write_json
from detection.types import AnnotatedImage, Detections

__all__ = ["DRAWN_IMAGES", "DRAWN_MIN_SCORE", "Experiment", "StageSettings"]

# Test images that are drawn, and the least SVM margin of the detections on them (SPP_net, spp_demo.m: -0.5).
DRAWN_IMAGES = 24
DRAWN_MIN_SCORE = -0.5


class Experiment(Bookkeeping):
    """One run: a data set, the settings of its stages, and the folder of what they make."""

    # The stages, in order.

    def generate(self) -> None:
        """Proposals of all images: ``RUN/proposals``."""
        self._prepare(PROPOSALS)

    def extract(self) -> None:
        """Maps of all images: ``RUN/features``."""
        self._prepare(MAPS)

    def prepare(self) -> None:
        """Proposals and maps of all images in one go, in which each image is decoded once."""
        self._prepare(PROPOSALS, MAPS)

    def finetune(self) -> None:
        """Fine-tuned fc6 and fc7: ``RUN/finetuned``, with its log. Under torchrun its processes do it together."""
        from detection.learning.finetune.distributed import process_group

        path, settings = self.head_file, self.settings.finetune
        with process_group(self.work.device) as group, limit_threads(self.work.threads):
            images = group.first_then_all(lambda: self._finetuning_images(settings.flips))
            key = self.finetune_key
            if self._is_done("finetune", key, self._head_key()):
                return
            started = time.monotonic()
            head, origin = finetune_layers(
                self.source, images, len(self.classes), settings, path.parent, key, self.work, group
            )
            if group.rank == 0:
                write_head(path, head, key)
                self._finish("finetune", key, started, head_facts(head, origin, settings))

    def _finetuning_images(self, mirrored: bool) -> list[AnnotatedImage]:
        images = self._usable(self.train_images)
        if mirrored:
            mirrored_maps(self.source, images, self.work)
        return images

    def _head_key(self) -> str | None:
        return read_metadata(self.head_file).get("key") if self.head_file.is_file() else None

    def _check_head(self) -> None:
        """Raise ValueError where fine-tuned layers are asked for and those of the settings in force are not there."""
        if uses_finetuned(self.settings.features) and self._head_key() != self.finetune_key:
            state = "there are none" if self._head_key() is None else "they are of other settings or data"
            raise ValueError(
                f"{self.head_file}: expected fine-tuned layers of the settings in force, {state}; run tools/finetune.py"
            )

    def train_svms(self) -> None:
        """Linear SVMs: ``RUN/detector``, with its mining log. Regressors of the same data are kept."""
        self._check_head()
        if self._is_done("svms", self.svm_key, self.trained().get("svms")):
            return
        self._check_no_edits()
        images, started = self._usable(self.train_images), time.monotonic()
        layer = self.settings.features.layer
        checkpoint = MiningCheckpoint(self.run.mining, self.svm_key)
        with limit_threads(self.work.threads):
            svms, log = train_linear_svms(
                self.source, images, len(self.classes), self.settings.svm, layer, self.work, checkpoint
            )
        self.report_mining(log, self.classes)
        keeps_regressors = self.trained().get("regressors") == self.regression_key
        detector = Detector(
            classes=self.classes,
            proposal_settings=self.proposal_settings,
            extractor=self.source.extractor(),
            svms=svms,
            regressors=Detector.load(self.run.detector).regressors if keeps_regressors else None,
            postprocess_settings=self.settings.postprocess,
            notes={"svms": self.svm_key} | ({"regressors": self.regression_key} if keeps_regressors else {}),
        )
        detector.save(self.run.detector)
        write_mining_log(self.run.detector / "mining.csv", log, self.classes)
        write_training_samples(self.run.detector / SAMPLES, log, self.classes)
        checkpoint.remove()
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
        if self._is_done("regressors", self.regression_key, self.trained().get("regressors")):
            return
        self._check_no_edits()
        self._check_trained("svms", self.svm_key, "train_svm.py")
        images, started = self._usable(self.train_images), time.monotonic()
        with limit_threads(self.work.threads):
            regressors = train_box_regressors(
                self.source, images, len(self.classes), self.settings.regression, self.work
            )
        detector = Detector.load(self.run.detector)
        notes = {**detector.notes, "regressors": self.regression_key}
        # Other boxes, other chances of being right.
        dataclasses.replace(detector, regressors=regressors, notes=notes, calibration=None).save(self.run.detector)
        trained = [name for name, there in zip(self.classes, regressors.trained, strict=True) if there]
        self._finish("regressors", self.regression_key, started, {"images": len(images), "trained": trained})

    def detect(self) -> list[Detections]:
        """Detections of the test split: ``RUN/detections/SPLIT.json`` and the devkit's text files.

        Raises ValueError where the detector was trained with other settings or data.
        """
        self._check_head()
        self.check_trained()
        key = self.detections_key
        if self._is_done("detections", key, key if self.detections_file.is_file() else None):
            return self.detections()
        images, started = self._usable(self.test_images), time.monotonic()
        self._keep_postprocessing()
        parts = self.run.detections / "parts"
        found = detect_images(self.source, images, self.run.detector, parts, key, self.work)
        write_coco_results(self.detections_file, found)
        write_comp4(self.run.detections, self.split, found, self.classes)
        shutil.rmtree(parts, ignore_errors=True)
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
        key = self.detections_key
        if self.run.stage_key("detections") != key or not self.detections_file.is_file():
            raise ValueError(
                f"{self.detections_file}: expected detections of the settings in force, found none or older ones; "
                "run tools/detect.py"
            )
        if self._read_detections[0] != key:
            ids = [one.image_id for one in self.test_images]
            self._read_detections = key, read_coco_results(self.detections_file, ids)
        return self._read_detections[1]

    def evaluation(self) -> Evaluation:
        """What the detections on file are worth against the test split; nothing is printed or written.

        A test image that could not be read has no detections: its objects count as missed.
        """
        return evaluate(
            self.detections(), self.test_images, self.classes, **dataclasses.asdict(self.settings.evaluation)
        )

    def evaluate(self) -> Evaluation:
        """Average precision with intervals, printed and written to ``RUN/evaluation/SPLIT.json``; see `evaluation`."""
        started = time.monotonic()
        result, key, path = self.evaluation(), self.evaluation_key, self.run.evaluation / f"{self.split}.json"
        bounds = intervals(result, self.settings.intervals)
        self.work.console.print(table(result, bounds))
        if not self._is_done("evaluation", key, key if path.is_file() else None):
            preset = (self.record or {}).get("preset")
            protocol = {"preset": preset, "differs_from_preset": self.preset_overrides} if preset else {}
            extra = {} if bounds is None else {"intervals": bounds.to_json(self.classes)}
            write_json(path, result.to_json() | extra | protocol)
            self._finish("evaluation", key, started, {"metric": result.settings.metric, "mAP": result.mean_ap})
        return result

    def diagnose(self, evaluation: Evaluation | None = None, keep: bool = True) -> Diagnosis:
        """Where the detections on file fail: ``RUN/evaluation/SPLIT.diagnosis.json``; nothing is printed of it.

        evaluation: what `evaluation` gave, where it is at hand. Images with missed objects are scored again, once for
        the same detections: the causes are kept in ``RUN/evaluation/SPLIT.misses.json``. keep: False writes nothing.
        """
        result, key, started = evaluation or self.evaluation(), self.misses_key, time.monotonic()
        path = self.run.evaluation / f"{self.split}.misses.json"
        causes = read_causes(path, key)
        if causes is None:
            images, folder = self.test_images, self.run.detector
            causes = explain_images(self.source, result, images, self.detections(), folder, key, self.work)
            if keep:
                write_causes(path, key, causes)
                self._finish("misses", key, started, {"objects": len(causes)})
        found = diagnose(result, self.test_images, self.settings.diagnosis, causes)
        if keep:
            write_json(self.run.evaluation / f"{self.split}.diagnosis.json", found.to_json())
        return found

    def draw(self) -> list[Path]:
        """The first test images that can be read, with their detections: ``RUN/drawings``; returns the files."""
        images, started = self.test_images[:DRAWN_IMAGES], time.monotonic()
        calibration, key = read_calibration(self.run.detector) if self.trained() else None, self.detections_key
        if calibration is not None:
            key = fingerprint(key, calibration.to_arrays()[0])
        drawn = [self.run.drawings / f"{file_stem(one.image_id)}.jpg" for one in images]
        if self._is_done("drawings", key, key if any(path.is_file() for path in drawn) else None):
            return [path for path in drawn if path.is_file()]
        folder, found = self.run.drawings, self.detections()
        written = draw_images(images, found, self.classes, DRAWN_MIN_SCORE, folder, self.work, calibration)
        self._finish("drawings", key, started, {"images": len(written)})
        return written

    def report(self, path: Path | None = None, evaluation: Evaluation | None = None) -> Path:
        """The HTML report and the folder of its tables: ``RUN/report.html`` and ``RUN/report``, or at `path`.

        evaluation: what `evaluation` gave, where it is at hand. Returns the page's path. Raises ValueError where
        something else stands in its place.
        """
        started, target = time.monotonic(), Path(path or self.run.path / "report.html")
        own, there = path is None, target.is_file()
        if own and self._is_done("report", self.report_key, self.report_key if there else None):
            return target
        check_target(target)
        write_report(target, self._report_run(self.run.path.resolve().name, evaluation), settings=self.settings.report)
        if own:
            self._finish("report", self.report_key, started, {"mib": round(target.stat().st_size / 2**20, 2)})
        return target

    def compare(self, other: Experiment, path: Path | None = None) -> Path:
        """A report of this run beside `other` on the same images: ``RUN/report-OTHER.html``, or at `path`.

        `other` is evaluated as this run's settings say. Differences are the other's figures minus this run's.
        Returns the page's path. Raises ValueError where images, objects or classes of the two are not the same, or
        something else stands in the page's place.
        """
        names = run_names(self.run.path, other.run.path)
        target = Path(path or self.run.path / f"report-{file_stem(names[1])}.html")
        check_target(target)
        shared = {name: getattr(self.settings, name) for name in ("evaluation", "intervals", "diagnosis")}
        other.settings = dataclasses.replace(other.settings, **shared)
        evaluations = self.evaluation(), other.evaluation()
        change = difference(*evaluations, self.settings.intervals)
        first, second = self._report_run(names[0], evaluations[0]), other._report_run(names[1], evaluations[1])
        write_report(target, first, Comparison(second, change), self.settings.report)
        return target

    def _report_run(self, name: str, evaluation: Evaluation | None) -> ReportRun:
        result = evaluation or self.evaluation()
        return gather(self, name, result, intervals(result, self.settings.intervals), self.diagnose(result))

    def run_all(self) -> Evaluation:
        """Every stage in order, skipping what is done."""
        self.prepare()
        if uses_finetuned(self.settings.features):
            self.finetune()
        self.train_svms()
        self.train_regressors()
        self.detect()
        self.draw()
        result = self.evaluate()
        page = self.report(evaluation=result)
        self.work.console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
        return result

    # Helpers of the stages.

    def usable_training_images(self) -> list[AnnotatedImage]:
        """The training images whose proposals and maps are there, after making those that are absent."""
        return self._usable(self.train_images)

    def _usable(self, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
        """The images whose proposals and maps are there, after making those that are absent."""
        self.prepare()
        store, cache, keys = self.source.store(), self.source.cache(), self.source.image_keys
        have = {image_id for image_id, key in keys.items() if store.has(image_id, key) and cache.has(image_id, key)}
        return [one for one in images if one.image_id in have]

    def _keep_postprocessing(self) -> None:
        """Let the detector in the run folder do what the settings say after scoring: it was trained without them."""
        detector = Detector.load(self.run.detector)
        if detector.postprocess_settings != self.settings.postprocess:
            dataclasses.replace(detector, postprocess_settings=self.settings.postprocess).save(self.run.detector)
