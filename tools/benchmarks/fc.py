"""fc6 and fc7 of an image's proposals: all in float32, once for different ones, as low-rank layers; and the mAP these
cost.

Time of one thread, methods in turn, for layers of given widths with made-up weights on real proposals of a photo: the
default backbone's vectors (D = 6,048), and those of 256 channels in levels 6-3-2-1 (D = 12,800); and for a run's own
layers on one of its test images. The floor is a product of square matrices in the same turns. Proposals on the same
cells of the same map share a vector: what comes out is compared bit for bit with that of all proposals.

mAP: a run's detector on its test split, its fc6 and fc7 replaced by low-rank layers, SVMs and regressors as they are;
and other detectors beside it, such as those whose SVMs were trained on low-rank layers.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.inputs import sample_photos
from benchmarks.measure import keep, progress, run, take_turns

from detection import config
from detection.commands.session import open_experiment
from detection.data import read_image
from detection.detector import Detector
from detection.engines import limit_threads
from detection.evaluation import Evaluation, difference, evaluate
from detection.features import FeatureExtractor, FeatureSettings, Head
from detection.features.compression import CompressedLayer, compress_head, largest_useful_rank
from detection.learning import postprocess
from detection.pipeline.experiment import Experiment
from detection.proposals import ProposalSettings, propose
from detection.proposals.foreign import match_proposals, read_proposals
from detection.types import AnnotatedImage, Proposals, RegionFeatures

# The vectors that made-up layers read.
MADE_UP = {
    "efficientnet_lite0, 240 336 480 688 px": FeatureSettings(),
    "alexnet, 688 px, levels 6-3-2-1": FeatureSettings(
        backbone="alexnet", weights="random", stages=(16,), short_sides=(688,), levels=(6, 3, 2, 1)
    ),
}
# Fast R-CNN's for layers of 4,096 (section 3.1), and some for narrower ones.
RANKS = [(1024, 256), (256, 128), (128, 64)]
PROPOSALS = 2000
SGEMM_SIDE = 2048
WHOLE = "all proposals"
State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Layers and the vectors they read: all of an image's proposals, and the different ones (with `rows`)."""

    name: str
    settings: FeatureSettings
    state: State
    proposals: RegionFeatures
    different: RegionFeatures
    trained: bool

    def head(self, state: State) -> Head:
        """The layers of a state, for these vectors."""
        return Head(self.settings, self.proposals.values.shape[1], state)


def photo_and_proposals(matlab: str | None) -> tuple[str, np.ndarray, Proposals]:
    """A photo and its proposals, the first PROPOSALS: of the original MATLAB code where they are given."""
    if matlab is None:
        name, rgb = next(iter(sample_photos().items()))
        return name, rgb, propose(name, rgb, ProposalSettings(max_windows=PROPOSALS))
    photo = sorted(Path(matlab).glob("*.jpg"))[0]
    file = read_proposals(photo.with_name(f"{photo.stem}_boxes.mat"))
    match_proposals(file, [photo.stem])
    rgb = read_image(photo)
    boxes = file.convention.to_half_open(file.boxes[0])[:PROPOSALS].astype(np.float32)
    return photo.name, rgb, Proposals(photo.stem, rgb.shape[:2], boxes, "matlab")


def made_up_layers(length: int, widths: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
    """Gaussian fc6 and fc7 of a variance that keeps values in range."""
    generator = np.random.default_rng(seed)
    state = {}
    for name, inputs, outputs in zip(("fc6", "fc7"), (length, widths[0]), widths, strict=True):
        weight = generator.standard_normal((outputs, inputs), np.float32)
        state |= {f"{name}.weight": weight * np.float32(np.sqrt(2 / inputs)), f"{name}.bias": np.zeros(outputs, "f4")}
    return state


def made_up_thin(state: State, ranks: Sequence[int]) -> dict[str, np.ndarray]:
    """Gaussian low-rank layers: what they take does not depend on what they hold."""
    generator = np.random.default_rng(1)
    thin = {f"{name}.bias": state[f"{name}.bias"] for name in ("fc6", "fc7")}
    for name, rank in zip(("fc6", "fc7"), ranks, strict=True):
        outputs, inputs = state[f"{name}.weight"].shape
        thin[f"{name}.down.weight"] = generator.standard_normal((rank, inputs), np.float32) / np.float32(inputs**0.5)
        thin[f"{name}.up.weight"] = generator.standard_normal((outputs, rank), np.float32) / np.float32(rank**0.5)
    return thin


def made_up_cases(matlab: str | None, widths: Sequence[int]) -> Iterator[Case]:
    """Layers of `widths` on the vectors of one photo's proposals."""
    name, rgb, proposals = photo_and_proposals(matlab)
    for vectors, settings in MADE_UP.items():
        extractor = FeatureExtractor.from_settings(settings)
        pyramid = extractor.pyramid(proposals.image_id, rgb)
        state = made_up_layers(extractor.length("pool5"), widths)
        pooled = [extractor.pool(pyramid, proposals.boxes, distinct=one) for one in (False, True)]
        yield Case(f"{vectors}: {name}", dataclasses.replace(settings, head="made up"), state, *pooled, trained=False)


def case_of_run(experiment: Experiment, detector: Detector) -> Case:
    """A run's own layers on the vectors of its first test image with most proposals."""
    source, extractor = experiment.source, detector.extractor
    image = max(experiment.test_images[:20], key=lambda one: len(source.proposals(one).boxes))
    pyramid, boxes = source.pyramid(image), source.proposals(image).boxes
    pooled = [extractor.pool(pyramid, boxes, distinct=one) for one in (False, True)]
    state = extractor.pooled_head.state()
    return Case(f"run: {image.image_id}", extractor.settings, state, *pooled, trained=True)


def useful(state: State, ranks: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Those of the pairs of ranks of which both save multiplications."""
    most = [largest_useful_rank(*state[f"{name}.weight"].shape) for name in ("fc6", "fc7")]
    return [tuple(pair) for pair in ranks if all(rank <= top for rank, top in zip(pair, most, strict=True))]


def thin_layers(state: State, pair: tuple[int, int]) -> tuple[dict[str, np.ndarray], list[CompressedLayer]]:
    """The truncated singular value decomposition at a pair of ranks."""
    progress(f"low-rank layers of ranks {pair[0]} and {pair[1]}")
    return compress_head(state, dict(zip(("fc6", "fc7"), pair, strict=True)))


def multiplications(state: State) -> int:
    """Of one proposal."""
    return sum(value.size for name, value in state.items() if name.endswith(".weight") and not name.startswith("fc8"))


def time_rows(case: Case, ranks: Sequence[Sequence[int]], repeats: int) -> list[dict[str, Any]]:
    """CPU and wall seconds of fc7 of all proposals, with its GFLOP/s, by method."""
    states: dict[str, State] = {"float32": case.state}
    for pair in useful(case.state, ranks):
        make = thin_layers(case.state, pair)[0] if case.trained else made_up_thin(case.state, pair)
        states[f"ranks {pair[0]} {pair[1]}"] = make
    methods: dict[str, Callable[[], Any]] = {}
    flops = {}
    for name, state in states.items():
        head = case.head(state)
        for part, regions in ((WHOLE, case.proposals), ("different proposals", case.different)):
            head(regions.values[:1], "fc7")
            methods[f"{name}, {part}"] = lambda head=head, values=regions.values: head(values, "fc7")
            flops[f"{name}, {part}"] = 2e-9 * multiplications(state) * len(regions.values)
    square = torch.from_numpy(np.random.default_rng(2).standard_normal((SGEMM_SIDE, SGEMM_SIDE), np.float32))
    methods["product of square matrices"] = lambda: torch.mm(square, square)
    flops["product of square matrices"] = 2e-9 * SGEMM_SIDE**3
    timings = take_turns(methods, repeats, case.name, warm=False)
    first = timings[f"float32, {WHOLE}"]
    floor = flops["product of square matrices"] / timings["product of square matrices"].cpu_s
    rows = []
    for name, timing in timings.items():
        speed = flops[name] / timing.cpu_s
        row = {"vectors": case.name, "layers": _layers(case.state), "method": name, "cpu_s": timing.cpu_s}
        row |= {"wall_s": timing.wall_s, "GFLOP": flops[name], "GFLOP_per_s": speed, "of_floor": speed / floor}
        if name in methods and "," in name:
            row |= {"proposals": len(timing.result), "times_faster": first.cpu_s / timing.cpu_s}
            row |= _agreement(case, timings, name, first.result)
        rows.append(row)
    return rows


def _layers(state: State) -> str:
    (first, inputs), second = state["fc6.weight"].shape, len(state["fc7.bias"])
    return f"{inputs}-{first}-{second}"


def _agreement(case: Case, timings: Mapping[str, Any], name: str, whole: np.ndarray) -> dict[str, Any]:
    """Whether distinct ones alone give what all do, bit for bit; how far trained layers are from the whole ones."""
    layers, part = name.split(", ")
    found, values = {}, timings[name].result
    if part != WHOLE:
        values = values[case.different.rows]
        found["equal_bits"] = values.tobytes() == timings[f"{layers}, {WHOLE}"].result.tobytes()
    if case.trained and layers != "float32":
        found["relative_error"] = float(np.linalg.norm(values - whole) / np.linalg.norm(whole))
    return found


# What low-rank layers cost.


def variants(detector: Detector, ranks: Sequence[Sequence[int]], others: Sequence[str]) -> dict[str, tuple]:
    """Name -> (detector, facts of its layers): as it is, with low-rank layers, and saved ones beside it."""
    extractor, head = detector.extractor, detector.extractor.pooled_head
    found: dict[str, tuple[Detector, dict[str, Any]]] = {"float32": (detector, {})}
    for pair in useful(head.state(), ranks):
        state, layers = thin_layers(head.state(), pair)
        thin = Head(extractor.settings, extractor.length("pool5"), state)
        changed = FeatureExtractor(extractor.settings, extractor.backbone, thin)
        facts = {f"energy_{one.name}": f"{one.energy:.4f}" for one in layers}
        found[f"ranks {pair[0]} {pair[1]}"] = (dataclasses.replace(detector, extractor=changed), facts)
    for folder in others:
        other = Detector.load(folder)
        if _pooling(other) != _pooling(detector) or other.classes != detector.classes:
            raise ValueError(f"{folder}: expected a detector of the run's classes and pooled vectors")
        found[folder] = (other, {})
    return found


def _pooling(detector: Detector) -> tuple:
    settings = dataclasses.replace(detector.extractor.settings, layer="pool5", head="network")
    return settings, detector.extractor.backbone.weights_fingerprint


def accuracy_rows(
    experiment: Experiment, detector: Detector, ranks: Sequence[Sequence[int]], others: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """Mean AP of each variant on the first test images, its paired difference to the first, and what its fc takes."""
    images = experiment.test_images[:limit]
    every = variants(detector, ranks, others)
    found: dict[str, list] = {name: [] for name in every}
    plain: dict[str, list] = {name: [] for name in every}
    seconds: dict[str, list[float]] = {name: [] for name in every}
    for place, image in enumerate(images):
        proposals, pyramid = experiment.source.proposals(image), experiment.source.pyramid(image)
        pool5 = detector.extractor.pool(pyramid, proposals.boxes, distinct=True)
        for name, (one, _) in every.items():
            started = time.process_time()
            vectors = one.extractor.head(pool5)
            seconds[name].append(time.process_time() - started)
            scores = one.svms.region_scores(vectors)
            plain[name].append(postprocess(scores, image.size, one.postprocess_settings))
            if one.regressors is not None:
                scores = one.regressors.refine(scores, pool5)
            found[name].append(postprocess(scores, image.size, one.postprocess_settings))
        progress(f"test images: {place + 1}/{len(images)}")
    progress("")
    rows, first = [], None
    for name, (one, facts) in every.items():
        with_regression, without = (_evaluation(experiment, images, part[name]) for part in (found, plain))
        first = with_regression if first is None else first
        row = {"layers": name, **facts, "MFLOP_a_proposal": 2e-6 * multiplications(one.extractor.pooled_head.state())}
        row |= {"fc_cpu_s_an_image": float(np.median(seconds[name])), "mAP_without_regression": without.mean_ap}
        rows.append(row | {"mAP": with_regression.mean_ap, **_difference(experiment, first, with_regression)})
    return rows


def _evaluation(experiment: Experiment, images: Sequence[AnnotatedImage], found: Sequence) -> Evaluation:
    return evaluate(found, images, experiment.classes, **vars(experiment.settings.evaluation))


def _difference(experiment: Experiment, first: Evaluation, second: Evaluation) -> dict[str, str]:
    change = difference(first, second, experiment.settings.intervals)
    if second is first or change is None or change.mean_ap is None:
        return {"change": "", "interval": ""}
    bounds = change.mean_ap
    return {"change": f"{second.mean_ap - first.mean_ap:+.4f}", "interval": f"{bounds.low:+.4f} to {bounds.high:+.4f}"}


def benchmark(
    matlab: str | None = None,
    run: str | None = None,
    widths: tuple[int, int] = (4096, 4096),
    ranks: list[tuple[int, int]] = RANKS,
    repeats: int = 3,
    images: int = 0,
    others: list[str] = [],  # noqa: B006 (jsonargparse reads it, nothing changes it)
    out: str = "runs/benchmark",
) -> None:
    """Measure fc6 and fc7, and what low-rank layers cost; see the head of this file.

    Args:
        matlab: Folder with photos NAME.jpg and the original code's proposals NAME_boxes.mat: those of the first. None:
            scikit-learn's first photo and proposals of this package.
        run: Folder of a run whose SVMs see fc7: its layers are measured too. None, or of other vectors: they are not.
        widths: Outputs of the made-up fc6 and fc7.
        ranks: Pairs of ranks of fc6 and fc7; a pair that saves no multiplications is left out.
        repeats: Runs of each method.
        images: Measure mAP on so many test images of the run, a second or two each; 0: leave this measurement out.
        others: Folders of saved detectors of the same pooled vectors to measure beside the run's.
        out: Folder of benchmark.json and benchmark.md.
    """
    if repeats < 1 or images < 0:
        raise ValueError(f"expected repeats of at least 1 and images of at least 0, got {repeats} and {images}")
    tables: dict[str, list[dict[str, Any]]] = {}
    with limit_threads(1):
        rows = [row for case in made_up_cases(matlab, widths) for row in time_rows(case, ranks, repeats)]
        tables["fc6 and fc7 of made-up weights, one thread"] = rows
        experiment, detector = _run_with_fc7(run)
        if detector is not None:
            own = time_rows(case_of_run(experiment, detector), ranks, repeats)
            tables["fc6 and fc7 of the run, one thread"] = own
            if images:
                title = f"mAP on {min(images, len(experiment.test_images))} test images of the run"
                tables[title] = accuracy_rows(experiment, detector, ranks, others, images)
    keep(out, "fc", tables)


def _run_with_fc7(folder: str | None) -> tuple[Experiment | None, Detector | None]:
    """A run and its detector where its SVMs see fc7 of layers that are not thin; else none, and why."""
    if folder is None:
        return None, None
    settings, _ = config.parse(config.build_parser("benchmark"), [f"--run={folder}", "--workers=1"])
    experiment = open_experiment(settings)
    detector = Detector.load(experiment.run.detector)
    if detector.svms.layer != "fc7":
        print(f"{folder}: left out: its SVMs see {detector.svms.layer}, not fc7 (tools/finetune.py)")
        return None, None
    return experiment, detector


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    return run(benchmark, "fc", arguments)
