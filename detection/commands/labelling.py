"""Labelling with a detector that learns from what is labelled: here, or beside a labelling tool.

label     a page to draw boxes on, whose detector learns from every photo
next      the photos to label next, with the reason
suggest   draft labels of the unlabelled photos, for a labelling tool
"""

import dataclasses
import secrets
import socket
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from detection.command_line import say, subcommands
from detection.commands.found_files import Least, labels_folder, photo_id, write_labels
from detection.commands.session import run_command
from detection.config import Settings
from detection.data.draft_labels import check_drafts
from detection.labelling.browser import in_browser
from detection.labelling.choice import Rule, choose
from detection.labelling.learner import MIN_BOXES, Learner
from detection.labelling.study import candidates, found_in, lessons_of, open_session, refuse_unwritable, teach_all
from detection.labelling.teacher import Teacher
from detection.option_parser import described
from detection.pipeline.experiment import Experiment


def label(
    experiment: Experiment, folder: str | None = None, host: str = "127.0.0.1", port: int = 0, browser: bool = True
) -> None:
    """A page on this machine to draw boxes on photos, whose detector learns from every photo that is saved.

    Every change is saved at once, as Pascal VOC XML beside the photo, or in the format that the folder has (a devkit's
    XML, YOLO, COCO). What labels cannot hold is kept in the run, and so is the detector: RUN/labelling/detector, for
    sppnet detect --model. It runs until Ctrl-C; the same command goes on.

      sppnet label photos --run runs/mine

    Args:
        experiment: The run.
        folder: Folder of the photos, or of a data set, labelled in part or not at all; without: the run's.
        host: Address to listen on. Whoever has the printed address, and reaches this one, can draw and see the photos.
        port: Port to listen on; 0: a free one.
        browser: Open the page in a browser.
    """
    try:
        from detection.labelling import server
    except ImportError as error:
        raise ImportError(f'sppnet label: {error}: pip install "sppnet[label]"') from error
    session, learner = open_session(experiment)
    refuse_unwritable(session)
    session.clear()
    detector = experiment.run.labelling / "detector"
    teacher = Teacher(session, learner, experiment.work, lambda learner: learner.detector().save(detector))
    token = secrets.token_urlsafe()
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.create_server((host, port), family=family) as listening:
        at = f"[{host}]" if ":" in host else host
        address = f"http://{at}:{listening.getsockname()[1]}/{token}/"
        say(experiment.work.console, f"{session.found}", f"{len(session.photos)} photos: {address}")
        with in_browser(address, experiment.run.labelling) if browser else nullcontext():
            teacher.start()
            try:
                server.serve(server.application(session, teacher, token), listening)
            finally:
                teacher.close()


def next_photos(
    experiment: Experiment,
    folder: str | None = None,
    count: int = 10,
    rule: Rule = "both",
    pool: int = 500,
    seed: int = 0,
) -> None:
    """Print the photos to label next, the one that teaches most first, with the reason.

    The SVMs are trained on the photos that are labelled, in any format that is read; without any, the photos that are
    least alike come first. Proposals and maps are kept in the run, so that the next call looks at new photos alone.

      sppnet next photos --run runs/mine

    Args:
        experiment: The run.
        folder: Folder of the photos, or of a data set, labelled in part or not at all; without: the run's.
        count: How many photos to print.
        rule: uncertainty (of what is found, rare classes first), core-set (unlike what is labelled), both (their
            product), or random.
        pool: Unlabelled photos that are looked at, a seeded sample of all; 0: all.
        seed: Seed of that sample and of the rule random.
    """
    session, learner = open_session(experiment)
    lessons, images = lessons_of(session)
    rows = np.random.default_rng(seed).permutation(len(images))[: pool or None]
    images, paths = [images[row] for row in np.sort(rows)], {one.image_id: one.path for one in session.photos}
    teach_all(learner, lessons, experiment.work)
    _say_measured(experiment, learner)
    known = np.array([learner.descriptor(one.image) for one in lessons if one.image.image_id in learner.taught])
    looked_at = candidates(learner, images, experiment.work)
    chosen = choose(looked_at, known, learner.counts, learner.classes, count, rule, seed)
    say(experiment.work.console, *(f"{paths[one.image_id]}: {one.reason}" for one in chosen))
    if not chosen:
        say(experiment.work.console, f"{session.found.path}: every photo that can be read is labelled")


def suggest(
    experiment: Experiment,
    folder: str | None = None,
    to: str = "folder",
    out: str = "suggestions",
    threshold: float | None = None,
    margin: float | None = None,
) -> None:
    """Write draft labels of the photos that have none, by SVMs trained on those that have: boxes with probabilities.

    A class is looked for from its third box on.

      sppnet suggest photos --to cvat --run runs/mine

    Args:
        experiment: The run.
        folder: Folder of the photos, or of a data set, labelled in part; without: the run's.
        to: Format: folder (XML beside the photos), voc, coco, yolo or labelstudio, each with the photos, linked or
            copied; or cvat, a file to import.
        out: Folder in which the folder labels-FORMAT is made.
        threshold: Least probability (0 to 1) of a box; null: each class's own threshold, by cross-validation over the
            labelled photos where there are enough.
        margin: The same as an SVM margin, in place of --threshold.
    """
    least, place = Least(threshold, margin), labels_folder(Path(out), to)
    check_drafts(place, to)
    session, learner = open_session(experiment)
    lessons, images = lessons_of(session)
    teach_all(learner, lessons, experiment.work)
    if not learner.knows_something:
        raise ValueError(
            f"{session.found.path}: expected a class of at least {MIN_BOXES} boxes to learn from, got none"
        )
    _say_measured(experiment, learner)
    detector, root = learner.detector(), Path(experiment.settings.dataset.root)
    root = root if root.is_dir() else root.parent
    shown, targets = [], {}
    for image, found in found_in(learner, images, experiment.work):
        kept = found.chosen(least.reached(detector, found))
        shown.append(dataclasses.replace(kept, image_id=photo_id(image.path)))
        targets[image.path] = Path(out) / image.path.relative_to(root)
    write_labels(Path(out), to, shown, learner.classes, targets)
    boxes = sum(len(one.labels) for one in shown)
    say(experiment.work.console, f"{place}: {len(shown)} photos, {boxes} boxes {least}")


def _say_measured(experiment: Experiment, learner: Learner) -> None:
    """Calibrate, and print what cross-validation gives, where there are complete photos enough."""
    measured = learner.measure()
    if measured is not None and measured.mean_ap is not None:
        value, low, high = (getattr(measured.mean_ap, name) for name in ("value", "low", "high"))
        text = f"mAP {value:.3f} ({low:.3f} to {high:.3f}) by cross-validation over {measured.photos} complete photos"
        say(experiment.work.console, text)


def _of_folder(settings: Settings, options: Namespace) -> Settings:
    root = settings.dataset.root if options.folder is None else options.folder
    return dataclasses.replace(settings, dataset=dataclasses.replace(settings.dataset, root=root))


_OWN = {"folder": {"type": str, "nargs": "?"}}
main = subcommands(
    __doc__,
    {
        "label": run_command(described(label), label, _OWN, adjusted=_of_folder),
        "next": run_command(described(next_photos), next_photos, _OWN, adjusted=_of_folder),
        "suggest": run_command(described(suggest), suggest, _OWN, adjusted=_of_folder),
    },
)
