"""The learner's work behind a page: in a thread of its own, what somebody waits for first."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detection.data import DataError, Problems
from detection.data.labels import ImageObjects
from detection.geometry import iou
from detection.labelling.choice import Candidate, choose
from detection.labelling.learner import Learner
from detection.labelling.session import Session
from detection.labelling.study import candidate
from detection.parallel import in_place
from detection.pipeline.work import Work
from detection.talking import LOG
from detection.types import Detections

# Least probability of a suggestion, and their number in a photo.
_LEAST, _MOST = 0.02, 100
# IoU from which on a suggestion is a box that is drawn or rejected already.
_SAME = 0.5
# Photos whose suggestions are kept, and unlabelled ones that are looked at to choose from.
_KEPT, _POOL = 32, 200
# Photos that are ranked: the one that is open, and those skipped, are not next.
_AHEAD = 10
# Complete photos, of those measured before, from which on it is measured again.
_GROWTH = 1.25
# Seconds that an idle thread sleeps between looks at what there is to do.
_PAUSE = 0.5


@dataclass(frozen=True)
class Suggestion:
    """A box that may be an object. box: in px of the photo. chance: of being right; is_rough: not calibrated."""

    name: str
    box: tuple[float, float, float, float]
    chance: float
    is_rough: bool


@dataclass(frozen=True)
class _Found:
    revision: int
    suggestions: tuple[Suggestion, ...]


class Teacher:
    """Teaches what is saved, suggests boxes in the photo that is looked at and the next one, looks for photos to label.

    Everything but `start` and `close` returns at once, with what is known by now. on_idle: called with the learner
    when there is nothing left to do and the SVMs have changed since. pool_seed: of the choice of unlabelled photos.
    """

    def __init__(
        self, session: Session, learner: Learner, work: Work, on_idle: Callable[[Learner], None], pool_seed: int = 0
    ) -> None:
        self._session, self._learner, self._on_idle = session, learner, on_idle
        # One photo at a time, here: what somebody waits for does not wait for processes to start.
        self._work = replace(work, executor=in_place, workers=1, on_progress=lambda *_: None)
        self._changed, self._ends = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="teacher", daemon=True)
        self._numbers = {one.image_id: number for number, one in enumerate(session.photos)}
        self._saved = deque(number for number in range(len(session.photos)) if self._says_something(number))
        self._looked: int | None = None
        self._found: OrderedDict[int, _Found] = OrderedDict()
        self._known: dict[int, np.ndarray] = {}
        self._pool: dict[int, tuple[int, Candidate]] = {}
        order = np.random.default_rng(pool_seed).permutation(len(session.photos)).tolist()
        self._order = [number for number in order if number not in set(self._saved)]
        self._stale: deque[int] = deque()
        self._ranked: tuple[int, list[tuple[int, str]]] = (-1, [])
        # Raised whenever the SVMs are others, and whenever anything is that decides which photo is next.
        self.revision = self._changes = 0
        self._is_teaching = self._has_revised = False
        self._idle_at = self._measured_at = 0
        self.curve: list[dict[str, float]] = []
        self.problems: dict[int, str] = {}
        self.doing = self.trouble = ""

    # What others ask and tell.

    def start(self) -> None:
        """Begin, with the photos that are labelled already."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is being done, and end."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._finish()

    def saved(self, number: int) -> None:
        """A photo was saved: it is learned before all others."""
        with self._changed:
            if number in self._saved:
                self._saved.remove(number)
            self._saved.appendleft(number)
            self._changes += 1
            self._changed.notify_all()

    def look(self, number: int) -> None:
        """A photo is looked at: boxes are suggested in it first."""
        with self._changed:
            self._looked = number
            self._changed.notify_all()

    def suggestions(self, number: int) -> tuple[Suggestion, ...]:
        """What is suggested in a photo, without what is drawn or rejected in it by now."""
        found, state = self._found.get(number), self._session.seen(number)
        if found is None:
            return ()
        others = [(one.name, one.box) for one in (*state.labels.objects, *state.marks.rejected)]
        return tuple(one for one in found.suggestions if not _is_known(one, others))

    def is_fresh(self, number: int) -> bool:
        """Whether the suggestions of a photo are those of all that was saved."""
        found = self._found.get(number)
        up_to_date = found is not None and found.revision == self.revision
        is_all = up_to_date or number in self.problems or not self._learner.knows_something
        return is_all and not (self._saved or self._is_teaching)

    def next_photos(self) -> list[tuple[int, str]]:
        """(number, reason) of some unlabelled photos, the one that teaches most first, by what is known now."""
        changes = self._changes
        if self._ranked[0] != changes:
            pool = [one for number, (_, one) in list(self._pool.items()) if self._is_open(number)]
            known = np.array([one for number, one in list(self._known.items()) if not self._is_open(number)])
            chosen = choose(pool, known, self._learner.counts, list(self._learner.classes), _AHEAD)
            self._ranked = changes, [(self._numbers[one.image_id], one.reason) for one in chosen]
        return self._ranked[1]

    def state(self) -> dict[str, Any]:
        """What a page shows of it: plain data."""
        counts = self._learner.counts.tolist()
        return {
            "revision": self.revision,
            "waiting": len(self._saved) + self._is_teaching,
            "doing": self.doing,
            "trouble": self.trouble,
            "boxes": dict(zip(list(self._learner.classes), counts, strict=False)),
            "looked_at": len(self._pool),
            "curve": list(self.curve),
            "problems": {str(number): text for number, text in list(self.problems.items())},
        }

    # The thread.

    def _run(self) -> None:
        while not self._ends:
            try:
                did_something = self._step()
            except Exception as error:
                # A full disk, say: what was drawn is saved all the same, and learned when it can be.
                LOG.warning(f"the detector: {error}")
                self.trouble, did_something = str(error), False
            if not did_something:
                with self._changed:
                    self.doing = ""
                    if not self._ends and not self._saved:
                        self._changed.wait(_PAUSE)

    def _step(self) -> bool:
        """Do the most urgent thing there is; whether there was any."""
        steps = (
            self._teach, self._suggest_here, self._suggest_next, self._revise, self._look_at_another, self._measure,
            self._finish,
        )  # fmt: skip
        return any(step() for step in steps)

    def _guarded(self, number: int, task: Callable[[ImageObjects], object]) -> None:
        """Do something with a photo; where that fails, the photo has the reason, and is not tried again."""
        lesson = self._session.lesson(number)
        try:
            if lesson is None:
                raise ValueError(self._session.seen(number).labels.fault)
            work = replace(self._work, problems=Problems())
            self._learner.prepare([lesson.image], work)
            for one in work.problems:
                raise DataError(one.kind, one.file, one.message)
            task(lesson.image)
            self.problems.pop(number, None)
        except Exception as error:
            LOG.warning(f"{self._session.photos[number].path}: {error}")
            self.problems[number] = str(error)

    def _teach(self) -> bool:
        with self._changed:
            if not self._saved:
                return False
            number, self._is_teaching = self._saved.popleft(), True
        self.doing = "learning"

        def teach(image: ImageObjects) -> None:
            if self._learner.teach(self._session.lesson(number)):
                self._stale = deque(map(self._numbers.__getitem__, self._learner.taught))
                self.revision += 1
            self._known[number] = self._learner.descriptor(image)
            self._changes += 1

        self._guarded(number, teach)
        self._is_teaching = False
        return True

    def _suggest_here(self) -> bool:
        return self._suggest(self._looked)

    def _suggest_next(self) -> bool:
        following = [number for number, _ in self.next_photos() if number != self._looked]
        return bool(following) and self._suggest(following[0])

    def _suggest(self, number: int | None) -> bool:
        revision = self.revision
        found = None if number is None else self._found.get(number)
        if number is None or number in self.problems or not self._learner.knows_something:
            return False
        if found is not None and found.revision == revision:
            return False
        self.doing = "looking for boxes"

        def suggest(image: ImageObjects) -> None:
            self._found[number] = _Found(revision, self._worded(self._learner.suggest(image)))
            self._found.move_to_end(number)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)

        self._guarded(number, suggest)
        return True

    def _worded(self, found: Detections) -> tuple[Suggestion, ...]:
        order = np.argsort(-found.probabilities, kind="stable")[:_MOST]
        trained = np.zeros(len(self._learner.classes), bool)
        if self._learner.calibration is not None:
            trained = self._learner.calibration.trained
        return tuple(
            Suggestion(
                self._learner.classes[found.labels[row]], tuple(found.boxes[row].tolist()),
                float(found.probabilities[row]), not bool(trained[found.labels[row]]),
            )
            for row in order if found.probabilities[row] >= _LEAST
        )  # fmt: skip

    def _revise(self) -> bool:
        if not self._stale:
            return False
        number = self._stale.popleft()
        self.doing = "looking at labelled photos again"

        def revise(image: ImageObjects) -> None:
            self._has_revised |= self._learner.revise(image.image_id)

        self._guarded(number, revise)
        if not self._stale and self._has_revised:
            self.revision, self._has_revised = self.revision + 1, False
        return True

    def _look_at_another(self) -> bool:
        """Look at the open photo of the pool whose look is the oldest."""
        pool = [one for one in self._order if self._is_open(one) and one not in self.problems][:_POOL]
        ages = [(self._pool[one][0] if one in self._pool else -1, place) for place, one in enumerate(pool)]
        age, place = min(ages, default=(self.revision, 0))
        if age >= self.revision:
            return False
        number, revision = pool[place], self.revision
        self.doing = "looking for photos that teach most"

        def look(image: ImageObjects) -> None:
            self._pool[number] = revision, candidate(self._learner, image)
            self._changes += 1

        self._guarded(number, look)
        return True

    def _measure(self) -> bool:
        complete = sum(self._session.seen(one).marks.complete for one in self._known)
        if complete < max(self._measured_at * _GROWTH, self._measured_at + 1):
            return False
        self.doing = "measuring"
        before, self._measured_at = self._measured_at, complete
        measured = self._learner.measure(lambda: not (self._saved or self._ends))
        if self._saved or self._ends:
            self._measured_at = before
            return True
        if measured is not None and measured.mean_ap is not None:
            self.curve.append({"photos": measured.photos, **vars(measured.mean_ap)})
            self._found.clear()  # their probabilities are better now
        return True

    def _finish(self) -> bool:
        if self.revision == self._idle_at or not self._learner.knows_something:
            return False
        self._idle_at = self.revision
        self._on_idle(self._learner)
        self.trouble = ""
        return True

    def _says_something(self, number: int) -> bool:
        lesson = self._session.lesson(number)
        return lesson is not None and not lesson.is_empty

    def _is_open(self, number: int) -> bool:
        lesson = self._session.lesson(number)
        return lesson is not None and lesson.is_empty


def _is_known(one: Suggestion, others: Sequence[tuple[str, tuple[float, ...]]]) -> bool:
    boxes = [box for name, box in others if name == one.name]
    return bool(boxes) and bool((iou(np.array([one.box]), np.array(boxes)) >= _SAME).any())
