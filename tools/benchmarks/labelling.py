"""How many labels a detector saves that learns while photos are labelled: a simulation, the true boxes as the person.

Photos of a run are labelled so many at a time as --photos says, chosen by a rule among those that are looked at, as
`sppnet next` does. In each, the person goes through what is suggested from probability 0.5 on, as in the page of
`sppnet label`: a suggestion that lies well on an object of its class is accepted as it is, one that lies roughly has
its corners moved, any other is rejected; objects that are left are drawn. Every photo is complete then, and taught.

mAP is of the learner, without box regression, on the run's test images, or with --folds on the part of its training
images that is held out of labelling: choices are made on those. Proposals and maps are the run's; absent ones are made
and kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from benchmarks.detectors import evaluation_of, frozen_run
from benchmarks.harness import Row, Tables, progress
from jsonargparse.typing import NonNegativeInt, PositiveInt

from detection.data import Problems
from detection.data.labels import ImageObjects, LabelledObject
from detection.engines import limit_threads
from detection.geometry import iou
from detection.labelling.choice import Rule, choose
from detection.labelling.learner import Learner
from detection.labelling.marks import Lesson, Marks
from detection.labelling.study import candidates
from detection.learning import image_folds
from detection.pipeline.experiment import Experiment
from detection.pipeline.stages.images import usable
from detection.types import AnnotatedImage, Detections

# From which probability on a suggestion is shown, as the page begins.
_SHOWN = 0.5
ACTS = ("accepted", "moved", "rejected", "drawn")


@dataclass(frozen=True)
class Person:
    """Who labels. accepts, moves: IoU with an object from which on a suggestion is good enough, or worth its corners.
    keeps: whether what is accepted is learned as it was suggested; else every box is the true one.
    """

    accepts: float
    moves: float
    keeps: bool

    def label(
        self, image: ImageObjects, found: Detections | None, classes: Sequence[str]
    ) -> tuple[ImageObjects, dict[str, int]]:
        """(the photo as the person leaves it, how often each of `ACTS` was done)."""
        objects, acts = list(image.objects), dict.fromkeys(ACTS, 0)
        open_places = dict.fromkeys(range(len(objects)))
        rows = [] if found is None else np.argsort(-found.probabilities, kind="stable")
        for row in (one for one in rows if found.probabilities[one] >= _SHOWN):
            own = [place for place in open_places if objects[place].name == classes[found.labels[row]]]
            overlaps = iou(found.boxes[[row]], np.array([objects[one].box for one in own]).reshape(-1, 4))[0]
            best = int(overlaps.argmax()) if own else -1
            if best < 0 or overlaps[best] < self.moves:
                acts["rejected"] += 1
                continue
            place = own[best]
            del open_places[place]
            acts["accepted" if overlaps[best] >= self.accepts else "moved"] += 1
            if self.keeps and overlaps[best] >= self.accepts:
                box = tuple(found.boxes[row].tolist())
                objects[place] = LabelledObject(0, objects[place].name, box, objects[place].difficult)
        acts["drawn"] = len(open_places)
        return ImageObjects(image.image_id, image.path, image.size, tuple(objects), image.path), acts


def as_objects(image: AnnotatedImage, classes: Sequence[str]) -> ImageObjects:
    """A photo as its labels have it."""
    values = zip(image.boxes.tolist(), image.labels.tolist(), image.difficult.tolist(), strict=True)
    objects = (LabelledObject(0, classes[label], tuple(box), difficult) for box, label, difficult in values)
    return ImageObjects(image.image_id, image.path, image.size, tuple(objects), image.path)


def simulate(
    experiment: Experiment,
    images: Sequence[AnnotatedImage],
    tested: Sequence[AnnotatedImage] | None,
    counts: Sequence[int],
    person: Person,
    how: tuple[Rule, int, int],
) -> Iterator[Row]:
    """A row a number of labelled photos. tested: None: the test images. how: the rule, its seed, and how many photos it
    looks at in a turn (0: all).
    """
    rule, seed, pool = how
    classes = tuple(experiment.classes)
    learner = Learner(experiment.source_of({}), experiment.settings, classes)
    left = {one.image_id: as_objects(one, classes) for one in images}
    total, known, rng = dict.fromkeys(ACTS, 0), [], np.random.default_rng(seed)
    for before, count in pairwise((0, *(one for one in counts if one <= len(images)))):
        label = f"seed {seed}, {rule}, {count} photos"
        progress(f"{label}: choosing")
        names = [list(left)[place] for place in rng.permutation(len(left))[: pool or None]]
        names += [one for one in left if one not in names][: max(count - before - len(names), 0)]
        looked = [] if rule == "random" else candidates(learner, [left[one] for one in names], experiment.work)
        if looked:
            best = choose(looked, np.array(known), learner.counts, classes, count - before, rule)
            names = [one.image_id for one in best]
        chosen = [left.pop(one) for one in names[: count - before]]
        progress(f"{label}: labelling")
        lessons = []
        for image in chosen:
            done, acts = person.label(image, learner.suggest(image) if learner.knows_something else None, classes)
            total = {act: total[act] + acts[act] for act in ACTS}
            lessons.append(Lesson(done, Marks(True)))
        known += [learner.descriptor(one) for one in chosen]
        learner.teach_all(lessons, Problems(strict=True))
        learner.measure()
        result = evaluation_of(experiment, learner.detector(), label, tested)
        row = {"rule": rule, "seed": seed, "photos": count, "objects": int(learner.counts.sum())}
        yield {**row, **total, "mAP": float(result.mean_ap or 0.0)}
    progress("")


def means(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row a number of photos and rule: means over the seeds; of mAP its standard deviation, too."""
    found, by_photos = [], sorted(rows, key=lambda row: row["photos"])
    for count, rule in dict.fromkeys((row["photos"], row["rule"]) for row in by_photos):
        own = [row for row in rows if (row["photos"], row["rule"]) == (count, rule)]
        mean: Row = {"photos": count, "rule": rule, "seeds": len(own)}
        mean |= {key: float(np.mean([row[key] for row in own])) for key in ("objects", *ACTS, "mAP")}
        mean |= {"mAP_error": float(np.std([row["mAP"] for row in own], ddof=1))} if len(own) > 1 else {}
        found.append(mean)
    return found


def benchmark(
    run: str | None = None,
    photos: tuple[PositiveInt, ...] = (10, 20, 40, 80, 160, 320),
    rules: tuple[Rule, ...] = ("random", "uncertainty", "core-set", "both"),
    seeds: PositiveInt = 5,
    pool: NonNegativeInt = 500,
    folds: NonNegativeInt = 0,
    accepts: float = 0.7,
    moves: float = 0.5,
    keeps: bool = True,
) -> Tables:
    """Measure what learning while labelling saves; see the head of this file. Takes minutes to hours.

    Args:
        run: Folder of a run that has proposals and maps, e.g. after tools/extract_features.py; its settings are used.
        photos: Numbers of labelled photos at which it is measured, and new ones chosen.
        rules: Which photo is next: random, uncertainty, core-set, both.
        seeds: Simulations of each rule.
        pool: Photos that are looked at whenever some are chosen, a seeded sample; 0: all.
        folds: Parts of the training images of which simulation N holds part N out, to be measured on; 0: none, the test
            images are.
        accepts: Least IoU with an object of a suggestion that is accepted as it is.
        moves: Least IoU of one whose corners are moved; any other is rejected.
        keeps: Learn accepted boxes as they were suggested; else true ones.
    """
    experiment = frozen_run("labelling", run)
    if experiment is None:
        return
    everything, person, rows = usable(experiment, experiment.train_images), Person(accepts, moves, keeps), []
    for seed in range(seeds):
        images, tested = everything, None
        if folds:
            fold_of = image_folds([one.image_id for one in everything], folds, experiment.settings.calibration.seed)
            tested = [one for one in everything if fold_of[one.image_id] == seed % folds]
            images = [one for one in everything if fold_of[one.image_id] != seed % folds]
        for rule in rules:
            with limit_threads(experiment.work.threads):
                for row in simulate(experiment, images, tested, sorted(photos), person, (rule, seed, pool)):
                    rows.append(row)
                    yield "mAP and actions up to then, means over the seeds, mAP with standard deviation", means(rows)
                    yield "Every simulation", rows
