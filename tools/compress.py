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

from __future__ import annotations

import argparse
import sys

from detection.config import exit_status
from detection.pipeline.compress import compress_detector, compress_file, compression_table


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="FOLDER", help="A saved detector with fc6 or fc7, e.g. RUN/detector.")
    source.add_argument(
        "--head", metavar="FILE", help="A file of fc6 and fc7 alone, e.g. RUN/finetuned/head.safetensors."
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="Folder of the new detector, or a file NAME.safetensors for its fc6 and fc7 alone. Must not be there yet.",
    )
    for name in ("fc6", "fc7"):
        parser.add_argument(
            f"--{name}_rank",
            type=int,
            metavar="RANK",
            help=f"Rank of the two layers in place of {name}; 0: leave it as it is. Without: see --energy.",
        )
    parser.add_argument(
        "--energy",
        type=float,
        metavar="PART",
        help="Of a layer without a rank, keep this part of its squared singular values, e.g. 0.9, in as few ranks as "
        "do; a layer of which that would save nothing is left as it is. Without: only layers with a rank change.",
    )
    return parser


def compress(options: argparse.Namespace) -> None:
    """Compress, write and print."""
    ranks = {"fc6": options.fc6_rank, "fc7": options.fc7_rank}
    if options.model is not None:
        layers = compress_detector(options.model, options.out, ranks, options.energy)
    else:
        layers = compress_file(options.head, options.out, ranks, options.energy)
    print(compression_table(layers))
    print(f"written: {options.out}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: compress(options))


if __name__ == "__main__":
    sys.exit(main())
