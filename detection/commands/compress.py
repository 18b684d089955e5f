"""fc6 and fc7 made cheaper by truncated singular value decomposition: a detector some times faster, at some mAP.

A layer becomes two thin ones of a rank that you choose (Fast R-CNN, section 3.1). Of a trained detector:
  python tools/compress.py --model RUN/detector --out FOLDER --fc6_rank 128 --fc7_rank 64
  python tools/detect.py --model FOLDER IMAGE_OR_FOLDER ...

SVMs and box regressors stay as they are. To train SVMs on the approximated layers, write these alone, and name them in
a run's settings:
  python tools/compress.py --model RUN/detector --out head.safetensors --fc6_rank 128 --fc7_rank 64
  python tools/run_pipeline.py --run RUN2 --features.layer fc7 --features.head head.safetensors ...

Nothing is overwritten. What ranks cost and gain is in docs/speed.md.
"""

from detection.command_line import function_command
from detection.pipeline.compress import compress_detector, compress_file, compression_table


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
    function, source = (compress_file, head) if model is None else (compress_detector, model)
    layers = function(source, out, {"fc6": fc6_rank, "fc7": fc7_rank}, energy)
    print(f"{compression_table(layers)}\nwritten: {out}")


main = function_command(__doc__, compress)
