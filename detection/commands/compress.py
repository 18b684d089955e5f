"""A smaller, faster detector: fc6 and fc7 as two thin layers each (truncated SVD), of ranks that you choose.

SVMs, box regressors and calibration stay as they are. OUT.safetensors takes the layers alone; a run that is given them
trains SVMs of its own on what they compute. What ranks cost in mAP is in docs/speed.md.

  sppnet compress --model runs/mine/detector --out small --fc6_rank 128 --fc7_rank 64
  sppnet compress --model runs/mine/detector --out small.safetensors --energy 0.9
  sppnet run --run runs/small --features.layer fc7 --features.head small.safetensors
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detection.backbones.networks import read_state
from detection.command_line import function_command
from detection.detector import Detector
from detection.features import FeatureExtractor, Head
from detection.features.compression import CompressedLayer, compress_head
from detection.storage import fingerprint, write_arrays

FORMAT_VERSION = "1"
_KIND = "compressed_head"
_HEAD_SUFFIX = ".safetensors"


def compress_detector(
    detector: Detector, state: Mapping[str, np.ndarray], layers: Sequence[CompressedLayer]
) -> Detector:
    """The detector with low-rank layers of `state`; SVMs, box regressors and calibration stay as they are.

    They see the same fc6 or fc7, approximated. Its notes lose the key of its SVMs, whose vectors were others, and get
    ``compressed``, layer -> rank.
    """
    whole = detector.extractor
    head = Head(whole.settings, whole.length("pool5"), state)
    notes = {name: value for name, value in detector.notes.items() if name != "svms"}
    notes["compressed"] = {one.name: one.rank for one in layers if one.rank is not None}
    extractor = FeatureExtractor(whole.settings, whole.backbone, head, whole.device)
    return dataclasses.replace(detector, extractor=extractor, notes=notes)


def _write_head(path: Path | str, state: Mapping[str, np.ndarray], layers: Sequence[CompressedLayer]) -> None:
    state = {name: value for name, value in state.items() if name.startswith(("fc6.", "fc7."))}
    metadata = {"format_version": FORMAT_VERSION, "kind": _KIND, "key": fingerprint(state)}
    metadata |= {f"{one.name}.rank": str(one.rank) for one in layers if one.rank is not None}
    write_arrays(path, state, metadata)


def compression_table(layers: Sequence[CompressedLayer]) -> str:
    """What was done, one line a layer and one for both, which a proposal goes through in turn."""
    names = f"{'layer':<6}{'shape':>14}{'rank':>7}{'energy kept':>13}"
    lines = [f"{names}{'weights':>13}{'now':>13}{'MFLOP a proposal':>17}"]
    for one in layers:
        rank = "-" if one.rank is None else str(one.rank)
        cells = f"{one.name:<6}{f'{one.outputs} x {one.inputs}':>14}{rank:>7}{one.energy:>13.4f}"
        lines.append(cells + _cost(one.weights_before, one.weights_after))
    before, after = (sum(getattr(one, f"weights_{when}") for one in layers) for when in ("before", "after"))
    lines.append(f"{'both':<40}" + _cost(before, after))
    return "\n".join([*lines, f"{before / after:.1f} times fewer multiplications a proposal"])


def _cost(before: int, after: int) -> str:
    flops = f"{2 * before / 1e6:.1f} -> {2 * after / 1e6:.1f}"
    return f"{before:>13,}{after:>13,}{flops:>17}"


def compress(
    out: str,
    model: str | None = None,
    head: str | None = None,
    fc6_rank: int | None = None,
    fc7_rank: int | None = None,
    energy: float | None = None,
) -> None:
    """Compress, write and print.

    Args:
        out: Folder of the new detector, or a file NAME.safetensors for its fc6 and fc7 alone. Must not be there yet.
        model: A saved detector with fc6 or fc7, e.g. RUN/detector; this or --head is needed.
        head: A file of fc6 and fc7 alone, e.g. RUN/finetuned/head.safetensors.
        fc6_rank: Rank of the two layers in place of fc6; 0: leave it as it is. Without: see --energy.
        fc7_rank: Rank of the two layers in place of fc7; 0: leave it as it is. Without: see --energy.
        energy: Of a layer without a rank, keep this part of its squared singular values, e.g. 0.9, in as few ranks as
            do; a layer of which that would save nothing is left as it is. Without: only layers with a rank change.
    """
    if (model is None) == (head is None):
        raise ValueError(f"expected one of --model and --head, got {'none' if model is None else 'both'}")
    is_alone = Path(out).suffix == _HEAD_SUFFIX
    if model is None and not is_alone:
        raise ValueError(f"{out}: expected a file name ending in {_HEAD_SUFFIX}: of a head alone no detector is made")
    if Path(out).exists():
        raise FileExistsError(f"{out}: expected a path where nothing is; nothing is overwritten")
    detector = None if model is None else Detector.load(model)
    if detector is not None and detector.extractor.pooled_head is None:
        raise ValueError(f"{model}: expected a detector of layer fc6 or fc7, got one of {detector.svms.layer}")
    state = read_state(Path(head)) if detector is None else detector.extractor.pooled_head.state()
    try:
        state, layers = compress_head(state, {"fc6": fc6_rank, "fc7": fc7_rank}, energy)
    except ValueError as error:
        raise ValueError(f"{head or model}: {error}") from error
    if all(one.rank is None for one in layers):
        why = "no rank given" if energy is None else f"no rank that keeps {energy:g} of a layer has fewer weights"
        raise ValueError(f"expected a layer to compress, got {why}")
    if is_alone:
        _write_head(out, state, layers)
    else:
        compress_detector(detector, state, layers).save(out)
    print(f"{compression_table(layers)}\nwritten: {out}")


main = function_command(__doc__, compress)
