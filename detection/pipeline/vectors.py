"""The vectors of a training set, image after image: which proposals are pooled, and how far ahead."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np

from detection.learning import (
    ExtraPositives,
    NormSettings,
    RegressionSettings,
    SVMSettings,
    TrainingRegions,
    example_rows,
    norm_sample_images,
    norm_sample_proposals,
    thinned,
)
from detection.parallel import ordered_map
from detection.pipeline.source import Choice, ImageSource
from detection.pipeline.work import Work, guarded, threads
from detection.types import AnnotatedImage

# Images whose vectors are made ahead, per thread: some 40 MB each, with 1,700 proposals of 6,048 values.
_AHEAD = 3
# (An image's position, the image) -> which of its proposals are pooled.
ChoiceOf = Callable[[int, AnnotatedImage], Choice]
# The images behind this one alone, None for all -> every image's vectors in order.
VectorStream = Callable[[str | None], Iterator[TrainingRegions]]


def stream_images(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    layer: str,
    work: Work,
    advance: Callable[[], None],
    choice_of: ChoiceOf | None = None,
    after: str | None = None,
    extra: ExtraPositives | None = None,
    thin: Callable[[TrainingRegions], TrainingRegions] = lambda regions: regions,
) -> Iterator[TrainingRegions]:
    """Every image's vectors in order.

    choice_of: which proposals of an image are pooled; None: all of all. after: the images behind this one alone. extra:
    positives made of the objects. thin: leaves proposals out once they are pooled.
    """
    first = 0 if after is None else [one.image_id for one in images].index(after) + 1

    def task(item: tuple[int, AnnotatedImage]):
        position, image = item
        choose = None if choice_of is None else choice_of(position, image)
        return guarded(lambda one: thin(source.training_regions(one, layer, choose, extra)), image)

    # All threads while nobody learns, and a stock for the time that a classifier takes.
    with threads(work.pooling_threads) as executor:
        numbered = islice(enumerate(images), first, None)
        for regions, problem in ordered_map(task, numbered, executor, _AHEAD * work.pooling_threads):
            advance()
            if problem is not None:
                work.problems.extend([problem])
            else:
                yield regions


_NONE = np.zeros(0, np.int64)


def objects_alone(count: int, settings: SVMSettings) -> ChoiceOf:
    """Of `count` images what the pass for the positives needs: no proposal but those of the sample of norms."""
    sampled = _NormRows(count, settings.norm)
    if not (settings.distinct_negatives or settings.negative_overlap is not None):
        return lambda position, _: lambda boxes: (_NONE, sampled.rows(position, len(boxes)))
    # The sample is drawn from the proposals that thinning leaves, which takes all of them.
    return lambda position, _: lambda boxes: (np.arange(len(boxes)) if position in sampled.images else _NONE, None)


def near_objects(count: int, settings: RegressionSettings) -> ChoiceOf:
    """Of `count` images what box regression needs: its examples, and the proposals of the sample of norms."""
    sampled = _NormRows(count, settings.norm)
    return lambda position, image: (
        lambda boxes: (example_rows(boxes, image.boxes, image.difficult, settings), sampled.rows(position, len(boxes)))
    )


class _NormRows:
    """The proposals of `count` images that the sample of norms takes."""

    def __init__(self, count: int, settings: NormSettings) -> None:
        self.images, self._settings = frozenset(norm_sample_images(count, settings).tolist()), settings

    def rows(self, position: int, proposals: int) -> np.ndarray:
        """Those of the image at `position`, which has so many `proposals`."""
        return norm_sample_proposals(position, proposals, self._settings) if position in self.images else _NONE


def training_streams(
    source: ImageSource,
    images: Sequence[AnnotatedImage],
    layer: str,
    settings: SVMSettings,
    work: Work,
    advance: Callable[[], None],
) -> tuple[VectorStream, VectorStream]:
    """(a mining pass over the images, the first pass for the positives): what ``learning.train_svms`` goes through."""
    positives, thin = objects_alone(len(images), settings), partial(thinned, settings=settings)

    def mining_pass(after: str | None = None) -> Iterator[TrainingRegions]:
        return stream_images(source, images, layer, work, advance, after=after, thin=thin)

    def first_pass(after: str | None = None) -> Iterator[TrainingRegions]:
        extra = settings.extra_positives
        return stream_images(source, images, layer, work, advance, positives, after, extra, thin)

    return mining_pass, first_pass
