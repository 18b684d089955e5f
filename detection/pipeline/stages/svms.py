"""Stage: one linear SVM a class, with hard-negative mining: ``RUN/detector``, its mining log and its samples."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from detection.detector import Detector
from detection.engines import limit_threads
from detection.learning import (
    FEW_POSITIVES,
    LinearSVMs,
    MiningCheckpoint,
    MiningEntry,
    MiningLog,
    SVMSettings,
    train_svms,
)
from detection.pipeline.detector_parts import check_no_edits, kept_part, part_key
from detection.pipeline.experiment import Experiment
from detection.pipeline.held_out import folds_of, keep_fold_svms
from detection.pipeline.keys import pass_key
from detection.pipeline.source import ImageSource
from detection.pipeline.stage import Stage, begin
from detection.pipeline.stages.finetuning import finetuned_layers
from detection.pipeline.stages.images import usable
from detection.pipeline.training_samples import SAMPLES, write_training_samples
from detection.pipeline.vectors import training_streams
from detection.pipeline.work import Work, threads
from detection.storage import csv_text, write_text
from detection.types import AnnotatedImage

_COUNTS = ("added", "evicted", "left_out")


def _run(experiment: Experiment) -> Mapping[str, Any]:
    check_no_edits(experiment)
    images, key, settings = usable(experiment, experiment.train_images), SVMS.key(experiment), experiment.svm_settings
    if settings.mirrored_positives and not experiment.settings.svm.mirrored_positives:
        fewer = f"fewer than svm.mirrored_below {experiment.settings.svm.mirrored_below}"
        experiment.say(f"{len(experiment.train_images)} training photos, {fewer}: mirrored objects are positives too")
    begin(experiment, "svms", key)
    checkpoint = MiningCheckpoint(experiment.run.mining, pass_key(key, images))
    with limit_threads(experiment.work.threads):
        svms, log = train_linear_svms(
            experiment.source, images, len(experiment.classes), settings, experiment.settings.features.layer,
            experiment.work, checkpoint, folds_of(experiment, images),
        )  # fmt: skip
    report_mining(experiment, log, experiment.classes)
    _save(experiment, svms, key)
    write_mining_log(experiment.run.detector / "mining.csv", log, experiment.classes)
    write_training_samples(experiment.run.detector / SAMPLES, log, experiment.classes)
    if log.held_out:
        keep_fold_svms(experiment, log.held_out, key)
    return {
        "images": log.images,
        "positives": {name: int(log.positives[i]) for i, name in enumerate(experiment.classes)},
        "hard_negatives": {experiment.classes[one.label]: one.negatives - one.evicted for one in log.entries},
        "mean_norm": round(log.mean_norm, 3),
        "peak_training_mib": round(log.peak_bytes / 2**20, 1),
    }


def _save(experiment: Experiment, svms: LinearSVMs, key: str) -> None:
    """Write a detector of these SVMs; regressors of the same data are kept."""
    folder, notes = experiment.run.detector, {"svms": key}
    regressors = None
    wanted = part_key(experiment, "regressors", ())
    if experiment.trained().get("regressors") == wanted:
        regressors, notes["regressors"] = Detector.load(folder).regressors, wanted
    detector = Detector(
        classes=experiment.classes,
        proposal_settings=experiment.proposal_settings,
        extractor=experiment.source.extractor(),
        svms=svms,
        regressors=regressors,
        postprocess_settings=experiment.settings.postprocess,
        notes=notes,
    )
    detector.save(folder)


SVMS = Stage(
    name="svms",
    command="train",
    place=lambda experiment: experiment.run.detector,
    key=lambda experiment: part_key(experiment, "svms"),
    kept=lambda experiment: kept_part(experiment, "svms"),
    run=_run,
    needs=finetuned_layers,
    files=lambda experiment: (experiment.run.detector / SAMPLES,),
    cleared=lambda experiment: MiningCheckpoint(experiment.run.mining, SVMS.key(experiment)).remove_own(),
)


def report_mining(experiment: Experiment, log: MiningLog, classes: Sequence[str]) -> None:
    """Print what mining did, and warn of what a user should know of his classes."""
    experiment.say(mining_table(log, classes))
    for name in sorted({classes[entry.label] for entry in log.entries if not entry.converged}):
        experiment.warn(f"the SVM of {name} did not converge; see mining.csv")
    if any(entry.left_out for entry in log.entries):
        experiment.warn("hard negatives were left out for lack of memory: svm.memory_mib; see mining.csv")
    few = [f"{classes[i]} {count}" for i, count in enumerate(log.positives) if 0 < count < FEW_POSITIVES]
    if few:
        experiment.warn(
            f"fewer than {FEW_POSITIVES} positives: {', '.join(few)}; docs/learning.md tells what to expect"
        )


def train_linear_svms(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    num_classes: int,
    settings: SVMSettings,
    layer: str,
    work: Work,
    checkpoint: MiningCheckpoint | None = None,
    fold_of: Mapping[str, int] | None = None,
) -> tuple[LinearSVMs, MiningLog]:
    """Mine hard negatives over `images` and train one SVM a class on vectors of `layer`.

    images: those whose proposals and maps are there; they are gone through once for the positives and once a
    mining pass. checkpoint: where an interrupted training goes on; fold_of: see ``learning.train_svms``. Classes are
    trained by ``work.pooling_threads`` at a time.
    """
    done = checkpoint.images_done() if checkpoint else 0
    total = max((1 + settings.least_passes) * len(images), done)
    with work.progress("SVMs", total, done) as advance, threads(work.pooling_threads) as executor:
        stream, first_pass = training_streams(source, images, layer, settings, work, advance)
        return train_svms(
            stream,
            num_classes,
            settings,
            first_pass=first_pass,
            executor=executor,
            checkpoint=checkpoint,
            fold_of=fold_of,
        )


def write_mining_log(path: Path, log: MiningLog, classes: Sequence[str]) -> None:
    """Write one CSV line for every time that a class was trained: columns as in ``learning.MiningEntry``."""
    names = [one.name for one in fields(MiningEntry)]
    rows = ([classes[one.label], *(getattr(one, name) for name in names[1:])] for one in log.entries)
    write_text(path, csv_text([["class", *names[1:]], *rows]))


def mining_table(log: MiningLog, classes: Sequence[str]) -> str:
    """What each pass did to each class, one line each.

    negatives: kept after the pass. added, evicted: hard negatives found in the pass, and easy ones dropped.
    objective and gap (its duality gap, a part of it) are those of the pass's last training.
    """
    width = max([len("class"), *map(len, classes)])
    head = ("pass", "positives", "negatives", "added", "evicted", "objective", "gap")
    lines = [f"{'class':<{width}}  " + "  ".join(f"{name:>9}" for name in head)]
    groups: dict[tuple[int, int], list[MiningEntry]] = {}
    for entry in log.entries:
        groups.setdefault((entry.mining_pass, entry.label), []).append(entry)
    for (number, label), entries in sorted(groups.items()):
        last = entries[-1]
        added, evicted, left_out = (sum(getattr(one, key) for one in entries) for key in _COUNTS)
        counts = (number, last.positives, last.negatives - last.evicted, added, evicted)
        line = f"{classes[label]:<{width}}  " + "  ".join(f"{count:>9}" for count in counts)
        line += f"  {last.objective:>9.4g}  {last.gap / last.objective if last.objective else 0:>9.1e}"
        line += "" if last.converged else "  did not converge"
        lines.append(line + (f"  {left_out} left out for lack of memory" if left_out else ""))
    return "\n".join(lines)
