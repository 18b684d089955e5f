"""The pyramid over something else than convolutions: dense SIFT, coded by a dictionary, on the embedded digits.

The analogy of the SPP-net paper's section 2.2. Each digit is cut out, described by SIFT on a dense grid (OpenCV),
each descriptor written as a sparse sum of the words of a k-means dictionary, and the largest code of each word is
taken in each bin of the pyramid (as in ScSPM, J. Yang et al., CVPR 2009); a linear SVM a class on top. Prints the
accuracy on the test split's digits for several pyramids.

With --maps FOLDER the codes are written there too, as sppnet classify --maps reads them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import sparse_encode

from detection.data import DatasetSource, Problems, load_annotations, read_image, write_digits
from detection.data.digits import DIGIT_CLASSES
from detection.learning import fit_linear_svm
from detection.pooling import pool_map

# Side in px to which a digit is brought, px between descriptors, and the side of what each describes.
SIDE, STEP, PATCH = 64, 4, 16
# What is cut out around a digit, in parts of its longer side.
MARGIN = 0.1
ATOMS = 5
PYRAMIDS = ((1,), (2, 1), (4, 2, 1))


def cut_outs(root: Path, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """(grey squares (SIDE, SIDE) uint8, labels (N,)) of every digit of a split."""
    images = load_annotations([DatasetSource(split=split, root=str(root))], DIGIT_CLASSES, Problems())
    squares, labels = [], []
    for image in images:
        grey = cv2.cvtColor(read_image(image.path, image.size), cv2.COLOR_RGB2GRAY)
        for (x1, y1, x2, y2), label in zip(image.boxes, image.labels, strict=True):
            side = (1 + 2 * MARGIN) * max(x2 - x1, y2 - y1)
            corner = np.array([x1 + x2 - side, y1 + y2 - side]) / 2
            scale = SIDE / side
            affine = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
            squares.append(cv2.warpAffine(grey, affine, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))
            labels.append(label)
    return squares, np.array(labels)


def dense_sift(square: np.ndarray) -> np.ndarray:
    """(128, h, w) float32 descriptors of length 1 on a grid."""
    places = range(PATCH // 2, SIDE - PATCH // 2 + 1, STEP)
    # SIFT describes 4 x 4 cells of 3 times its scale; the diameter OpenCV asks for is twice that scale.
    points = [cv2.KeyPoint(float(x), float(y), PATCH / 6, 0) for y in places for x in places]
    _, found = cv2.SIFT_create().compute(square, points)
    found = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    return np.ascontiguousarray(found.reshape(len(places), len(places), -1).transpose(2, 0, 1), dtype=np.float32)


def codes(descriptors: np.ndarray, dictionary: np.ndarray) -> np.ndarray:
    """(words, h, w) float32: sizes of the sparse codes of (128, h, w) descriptors."""
    flat = descriptors.reshape(len(descriptors), -1).T
    sparse = sparse_encode(flat, dictionary, algorithm="omp", n_nonzero_coefs=ATOMS)
    return np.abs(sparse).T.reshape(len(dictionary), *descriptors.shape[1:]).astype(np.float32)


def classify(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Labels of the test vectors by one linear SVM a class on vectors of length 1."""
    train, test = (one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in (train, test))
    scores = []
    for label in range(len(DIGIT_CLASSES)):
        weights, bias = fit_linear_svm(train.astype(np.float32), np.where(labels == label, 1, -1), C=10.0)
        scores.append(test @ weights + bias)
    return np.argmax(scores, axis=0)


def main(arguments: list[str] | None = None) -> int:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("data/digits"), help="folder of the digits, made if absent")
    parser.add_argument("--words", type=int, default=256, help="words of the dictionary")
    parser.add_argument("--maps", type=Path, help="folder to write the codes to")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dictionary")
    options = parser.parse_args(arguments)
    write_digits(options.root)
    parts = {split: cut_outs(options.root, split) for split in ("trainval", "test")}
    descriptors = {split: [dense_sift(one) for one in squares] for split, (squares, _) in parts.items()}
    words = np.concatenate([one.reshape(len(one), -1).T for one in descriptors["trainval"]])
    dictionary = MiniBatchKMeans(options.words, random_state=options.seed, n_init=3).fit(words).cluster_centers_
    dictionary /= np.maximum(np.linalg.norm(dictionary, axis=1, keepdims=True), 1e-12)
    maps = {split: [codes(one, dictionary) for one in found] for split, found in descriptors.items()}
    labels, truth = parts["trainval"][1], parts["test"][1]
    print(
        f"{len(labels)} digits to train on, {len(truth)} to test; {options.words} words, maps {maps['test'][0].shape}"
    )
    for levels in PYRAMIDS:
        train, test = (np.array([pool_map(one, levels) for one in maps[split]]) for split in ("trainval", "test"))
        print(f"pyramid {levels}: accuracy {(classify(train, labels, test) == truth).mean():.3f}")
    if options.maps is not None:
        for split, folder in (("trainval", "train"), ("test", "test")):
            for number, (one, label) in enumerate(zip(maps[split], parts[split][1], strict=True)):
                path = options.maps / folder / DIGIT_CLASSES[label] / f"{number:05d}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, one.astype(np.float16))
        print(f"codes: {options.maps}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
