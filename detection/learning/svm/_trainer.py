"""The state of one mining: samples, weights and log of all SVMs that are trained in one go over the images."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from detection.learning.svm._rows import MIB, ClassCache, RowStore, Task, sampled
from detection.learning.svm._trainer_state import restore, state_of
from detection.learning.svm.checkpoint import MiningCheckpoint
from detection.learning.svm.held_out import fit_folds
from detection.learning.svm.linear_svms import LinearSVMs, block_products, padded
from detection.learning.svm.log import MiningEntry, MiningLog, TrainingSamples
from detection.learning.svm.samples import NormSample, OnProgress, Stream, TrainingRegions, checked
from detection.learning.svm.settings import SVMSettings
from detection.learning.svm.solver import SVMSolution, solve

# Rows scored at a time for the log: few, as they are copied.
_SCORED_ROWS = 256
# Images after which the state is written, and places set free can be used again; and into how many parts a number of
# images is cut at least where there are many: the state grows with them, and so would the time of writing it.
_COMMIT_AFTER, _COMMITS = 4, 256
# Bound of passes that go on "until one adds none": a class that never settles must end too.
_MAX_PASSES = 100


class Trainer:
    """Trains the SVMs of `tasks`, all over the same images.

    executor: where SVMs that are due at the same image are trained; None: here. checkpoint: where the state is
    kept after every few images. folds: image id -> fold, where a task leaves a fold out.
    """

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[Task],
        settings: SVMSettings,
        executor: Executor | None = None,
        checkpoint: MiningCheckpoint | None = None,
        folds: Mapping[str, int] | None = None,
    ) -> None:
        self.num_classes, self.settings, self.executor = num_classes, settings, executor
        self.checkpoint, self.folds = checkpoint, folds or {}
        # Other processes would be sent the vectors.
        self.mapper = executor.map if isinstance(executor, ThreadPoolExecutor) else map
        self.shared = executor is None or isinstance(executor, ThreadPoolExecutor)
        self.caches = [ClassCache(task) for task in tasks]
        self.store = RowStore(settings.memory_mib * MIB, checkpoint.rows_file if checkpoint else None)
        self.entries: list[MiningEntry] = []
        self.layer, self.length = "", 0
        self.sample = NormSample(settings.norm)
        # Where it stands: pass (0: the positives), images done in it, negatives it added, id of the last image done.
        self.number = self.done = self.added = 0
        self.last_image: str | None = None
        # Images of a pass, and of those that have samples position -> id; those without any go with a commit.
        self.images = 0
        self.image_ids: dict[int, str] = {}

    # Passes over the images.

    def run(self, stream: Stream, first_pass: Stream, on_progress: OnProgress | None) -> None:
        """Go through all passes, from where it stands."""
        self.on_progress = on_progress

        def images(source: Stream) -> Iterable[TrainingRegions]:
            found = source() if self.last_image is None else source(self.last_image)
            return checked(found, self.num_classes, "train_svms", (self.layer, self.length) if self.layer else None)

        if not self.number:
            self._collect_positives(images(first_pass))
        added, last = 1, self.settings.passes or _MAX_PASSES
        while added and self.number <= last:
            added = self._mine(images(stream))

    def _collect_positives(self, images: Iterable[TrainingRegions]) -> None:
        """The first pass: positives and the features' norm; `images`: those not done yet."""
        for regions in images:
            self._add_image(regions)
            self._add_positives(regions)
            self._image_done(regions)
        if not self.done:
            raise ValueError("train_svms: expected at least one image, got none")
        self._begin_pass()

    def _add_image(self, regions: TrainingRegions) -> None:
        if not self.layer:
            self.layer, self.length = regions.objects.layer, regions.objects.values.shape[1]
            self.store.open(self.length)
            self.weights = padded(np.zeros((len(self.caches), self.length), np.float32))
            self.biases = np.zeros(len(self.caches), np.float32)
        self.sample.add(regions)
        self.images += 1

    def _add_positives(self, regions: TrainingRegions) -> None:
        values, boxes, labels = regions.positives(self.settings.use_difficult)
        for label in np.unique(labels):
            caches = [one for one in self.caches if one.task.label == label and self._is_used(one, regions)]
            if not caches:
                continue
            seed, most = [self.settings.seed, int(label), self.done], self.settings.max_positives
            rows, draws = sampled(np.flatnonzero(labels == label), caches, most, seed)
            if len(rows) > self.store.room:
                self._commit()
            if len(rows) > self.store.room:
                raise ValueError(
                    f"svm.memory_mib: expected room for the positives of all classes and some negatives, got "
                    f"{self.settings.memory_mib}, which holds {len(self.store.values)} vectors of {self.length} values"
                )
            places = self.store.add(values, rows)
            self.image_ids[self.done] = regions.image_id
            for cache in caches:
                self.store.use(places)
                cache.append_positives(places, boxes[rows], self.done, draws)
                self.store.release(cache.keep_least(most))

    def _mine(self, images: Iterable[TrainingRegions]) -> int:
        """One pass for negatives; `images`: those not done yet in it. Returns how many negatives it added."""
        for regions in images:
            self._mine_image(regions)
            due = [one for one in self.caches if one.added and (not one.trained or self._is_due(one))]
            self._train(due, 1, on_the_way=True)
            self._image_done(regions)
        if self.done != self.images:
            raise ValueError(f"train_svms: expected the same {self.images} images in every pass, got {self.done}")
        self._train(self._unsettled(), 0)
        added = self.added
        self._begin_pass()
        return added

    def _unsettled(self) -> list[ClassCache]:
        """What was not trained to the finer tolerance on all that it has."""
        return [one for one in self.caches if one.added or one.on_the_way]

    def _is_due(self, cache: ClassCache) -> bool:
        kept = cache.negatives - cache.added
        return cache.added > max(self.settings.retrain_after, self.settings.retrain_growth * kept)

    def _begin_pass(self) -> None:
        self.number, self.done, self.added, self.last_image = self.number + 1, 0, 0, None
        self._commit()

    def _image_done(self, regions: TrainingRegions) -> None:
        self.done, self.last_image = self.done + 1, regions.image_id
        # Every image would be a tenth of the time; a pass ends with one in any case.
        if self.done % max(_COMMIT_AFTER, (1 << (self.done // _COMMITS).bit_length()) >> 1) == 0:
            self._commit()
        if self.on_progress:
            self.on_progress(f"mining pass {self.number}" if self.number else "positives", self.done)

    def _is_used(self, cache: ClassCache, regions: TrainingRegions) -> bool:
        return cache.task.fold is None or cache.task.fold != self.folds[regions.image_id]

    # Negatives of one image.

    def _mine_image(self, regions: TrainingRegions) -> None:
        """Add the image's hard negatives to the SVMs that want them; a proposal once, whoever wants it."""
        scores, wanted = self._hard_negatives(regions)
        if self._lacks_room(wanted):
            # What was set free since the last one.
            self._commit()
        if self._lacks_room(wanted) and self._unsettled():
            # Training drops easy negatives and leaves fewer hard ones; what holds up an SVM shows in the finer one.
            self._train(self._unsettled(), 0)
            self._commit()
            scores, wanted = self._hard_negatives(regions)
        if self._lacks_room(wanted):
            self._drop_idle()
            self._commit()
            self._leave_out(scores, wanted)
        self._add(regions, wanted)

    def _hard_negatives(self, regions: TrainingRegions) -> tuple[np.ndarray, np.ndarray]:
        """(scores, whether the proposal is a negative to be added), both (R, number of SVMs)."""
        negatives = regions.negatives_of(self.num_classes, self.settings.negative_iou)
        products = block_products(regions.proposals.values, self.weights, mapper=self.mapper)
        scores = products[:, : len(self.caches)] + self.biases
        wanted = negatives[:, [one.task.label for one in self.caches]]
        for index, cache in enumerate(self.caches):
            if not cache.positives or not self._is_used(cache, regions):
                wanted[:, index] = False
            elif cache.trained:
                wanted[:, index] &= scores[:, index] > self.settings.hard_threshold
                wanted[cache.keys[cache.keys[:, 0] == self.done, 1], index] = False
        return scores, wanted

    def _new(self, wanted: np.ndarray) -> np.ndarray:
        """Rows of the proposals that some SVM wants and none keeps from an earlier pass."""
        return np.flatnonzero(wanted.any(axis=1) & (self._known_places(len(wanted)) < 0))

    def _lacks_room(self, wanted: np.ndarray) -> bool:
        return len(self._new(wanted)) > self.store.room

    def _drop_idle(self) -> None:
        """Drop the negatives that do not hold up any SVM: without them the solution is the same."""
        for cache in self.caches:
            if cache.trained:
                keep = (np.arange(len(cache.places)) < cache.positives) | (cache.alphas > 0)
                self.store.release(cache.keep(keep))

    def _leave_out(self, scores: np.ndarray, wanted: np.ndarray) -> None:
        """Take from `wanted` the proposals for which there is no room: those whose best score is least."""
        new = self._new(wanted)
        best = np.where(wanted[new], scores[new], -np.inf).max(axis=1)
        left_out = new[np.argsort(-best, kind="stable")[self.store.room :]]
        for cache, missed in zip(self.caches, wanted[left_out].sum(axis=0), strict=True):
            cache.left_out += int(missed)
        wanted[left_out] = False

    def _add(self, regions: TrainingRegions, wanted: np.ndarray) -> None:
        places, rows = self._known_places(len(wanted)), self._new(wanted)
        places[rows] = self.store.add(regions.proposals.values, rows)
        self.image_ids[self.done] = regions.image_id
        for index, cache in enumerate(self.caches):
            chosen = np.flatnonzero(wanted[:, index])
            if not len(chosen):
                continue
            self.store.use(places[chosen])
            boxes = regions.proposals.boxes[chosen]
            cache.append(places[chosen], boxes, np.stack([np.full(len(chosen), self.done), chosen], axis=1))
            cache.added += len(chosen)
        self.added += int(wanted.sum())

    def _known_places(self, count: int) -> np.ndarray:
        """Places (count,) of the image's proposals that some SVM keeps from an earlier pass; -1 for the others."""
        places = np.full(count, -1)
        for cache in self.caches:
            mine = cache.keys[:, 0] == self.done
            places[cache.keys[mine, 1]] = cache.places[cache.positives :][mine]
        return places

    # Training.

    def _train(self, due: Sequence[ClassCache], ahead: int, on_the_way: bool = False) -> None:
        """Train the SVMs that are `due` on their caches and drop their easy negatives; `ahead`: images being done.

        on_the_way: to the tolerance of trainings that are to choose negatives.
        """
        tolerance = max(self.settings.tolerance, self.settings.mining_tolerance if on_the_way else 0)
        problems = (self._problem(one, tolerance) for one in due)
        run = map if self.executor is None or len(due) < 2 else self.executor.map
        for cache, solution in zip(due, list(run(solve, problems)), strict=True):
            self._take(cache, solution, self.done + ahead)
            cache.on_the_way = on_the_way

    def _problem(self, cache: ClassCache, tolerance: float) -> dict[str, Any]:
        """Arguments of `solve_svm`: with all rows, which other threads see too; processes get copies of its own."""
        settings = replace(self.settings, C=cache.task.C, positive_weight=cache.task.positive_weight)
        return settings.solver_arguments(self.sample.scale()) | {
            "values": self.store.values if self.shared else self.store.values[cache.places],
            "labels": np.where(np.arange(len(cache.places)) < cache.positives, 1, -1),
            "rows": cache.places if self.shared else None,
            "tolerance": tolerance,
            "alphas": cache.alphas,
        }

    def _take(self, cache: ClassCache, solution: SVMSolution, images: int) -> None:
        """Take a solution over: the weights, a line of the log, and the negatives without the easy ones."""
        index, factor, negatives = self.caches.index(cache), 1 / self.sample.scale() ** 2, cache.negatives
        self.weights[index], self.biases[index], cache.alphas = solution.weights, solution.bias, solution.alphas
        keep = solution.scores >= self.settings.evict_threshold
        keep[: cache.positives] = True
        dropped = cache.keep(keep)
        self.store.release(dropped)
        facts = {"label": cache.task.label, "mining_pass": self.number, "images": images, "negatives": negatives}
        facts |= {name: getattr(cache, name) for name in ("positives", "added", "left_out")}
        facts |= {"objective": solution.objective * factor, "gap": solution.gap * factor, "evicted": len(dropped)}
        facts |= {name: getattr(solution, name) for name in ("iterations", "converged")}
        self.entries.append(MiningEntry(**facts))
        cache.added, cache.left_out, cache.trained = 0, 0, True

    # What came out.

    def svms(self) -> LinearSVMs:
        """The SVMs, one a task."""
        trained = np.array([cache.trained for cache in self.caches], dtype=bool)
        return LinearSVMs(self.weights[: len(trained)].copy(), self.biases.copy(), trained, self.layer)

    def held_out(self, fold_of: Mapping[str, int]) -> list[LinearSVMs]:
        """Of each fold of the images SVMs that are trained on what is kept of the others: see `fit_folds`."""
        kept = [index for index, cache in enumerate(self.caches) if cache.trained]
        samples, places = map(self._samples, kept), [self.caches[index].places for index in kept]
        return fit_folds(
            list(samples), places, self.store.values, self.layer, self.num_classes, [self.settings],
            self.sample.scale(), fold_of, self.executor,
        )[0]  # fmt: skip

    def _samples(self, index: int) -> TrainingSamples:
        cache = self.caches[index]
        parts = np.split(cache.places, range(_SCORED_ROWS, len(cache.places), _SCORED_ROWS))
        scores = [block_products(self.store.values[part], self.weights)[:, index] for part in parts]
        margins = np.concatenate(scores) + self.biases[index]
        ids = tuple(self.image_ids[place] for place in [*cache.origins, *cache.keys[:, 0]])
        return TrainingSamples(cache.task.label, cache.positives, ids, cache.boxes, margins, cache.alphas)

    def log(self) -> MiningLog:
        """What happened."""
        return MiningLog(
            entries=tuple(self.entries),
            positives=tuple(cache.positives for cache in self.caches),
            mean_norm=self.sample.mean(),
            scale=self.sample.scale(),
            images=self.images,
            peak_rows=self.store.peak_rows,
            peak_bytes=self.store.peak_bytes,
            samples=tuple(self._samples(index) for index, cache in enumerate(self.caches) if cache.trained),
        )

    # Going on where an interrupted mining was.

    def _commit(self) -> None:
        used = {position for one in self.caches for position in np.unique(one.positions).tolist()}
        self.image_ids = {position: name for position, name in self.image_ids.items() if position in used}
        if self.checkpoint is not None:
            self.checkpoint.write(*state_of(self))
        self.store.commit()

    def restore(self) -> bool:
        """Take up the state in the checkpoint, as a new trainer; False where there is none that is whole."""
        found = self.checkpoint.read() if self.checkpoint else None
        return found is not None and restore(self, *found)
