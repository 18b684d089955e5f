"""Fixtures that several rooms' tests use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data.voc import annotation_xml

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# (class name, half-open box x1, y1, x2, y2) or the same with a difficult flag
ObjectOf = tuple[str, Sequence[float]] | tuple[str, Sequence[float], bool]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos beside the repository; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photos in {SHARED_DATA.parent.name}/{SHARED_DATA.name} beside the repository")
    return SHARED_DATA


@pytest.fixture
def make_devkit(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a tiny devkit and returns its root, the folder that holds the year folder.

    ``make_devkit({"trainval": {"img1": [("cat", (10, 20, 60, 80))], "img2": []}})`` writes noise images of `size`
    (height, width) px, their XML and the split lists. Boxes are half-open. `images` gives an id its own (H, W, 3)
    uint8 pixels, `root` another folder than tmp_path/VOCdevkit.
    """

    def make(
        splits: Mapping[str, Mapping[str, Sequence[ObjectOf]]],
        size: tuple[int, int] = (90, 120),
        images: Mapping[str, np.ndarray] | None = None,
        year: str = "VOC2007",
        seed: int = 0,
        root: Path | None = None,
    ) -> Path:
        root = root or tmp_path / "VOCdevkit"
        rng = np.random.default_rng(seed)
        for split, content in splits.items():
            _write(root / year / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{name}\n" for name in content))
            for image_id, objects in content.items():
                noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                pixels = (images or {}).get(image_id, noise)
                path = root / year / "JPEGImages" / f"{image_id}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path, quality=95)
                flagged = [(name, box, bool(rest and rest[0])) for name, box, *rest in objects]
                xml = annotation_xml(path.name, pixels.shape[:2], flagged, folder=year)
                _write(root / year / "Annotations" / f"{image_id}.xml", xml)
        return root

    return make


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
