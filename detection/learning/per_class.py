"""What trained models have in common whose arrays have one row a class: a choice of classes, and their file."""

from collections.abc import Mapping
from dataclasses import fields
from typing import ClassVar, Self

import numpy as np

FORMAT_VERSION = "1"


class PerClass:
    """Base of a dataclass of arrays (L, ...), and perhaps of a `layer` of the features that all classes share.

    KIND: the model's name in files.
    """

    KIND: ClassVar[str]

    def _fields(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.init}
        texts = {name: value for name, value in found.items() if isinstance(value, str)}
        return {name: value for name, value in found.items() if name not in texts}, texts

    def select(self, labels: np.ndarray) -> Self:
        """The same with these classes alone, in this order."""
        arrays, texts = self._fields()
        return type(self)(**{name: value[labels] for name, value in arrays.items()}, **texts)

    def joined(self, other: Self) -> Self:
        """The classes of this one, then those of the other. Raises ValueError for another layer."""
        (arrays, texts), (others, found) = self._fields(), other._fields()
        if found != texts:
            raise ValueError(f"{self.KIND}: expected layer {texts['layer']!r}, got {found['layer']!r}")
        return type(self)(**{name: np.concatenate([arrays[name], others[name]]) for name in arrays}, **texts)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """(arrays, metadata) for ``storage.write_arrays``."""
        arrays, texts = self._fields()
        return arrays, {"kind": self.KIND, "format_version": FORMAT_VERSION, **texts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Self:
        """The inverse of `to_arrays`. Raises ValueError for another kind or version."""
        found = (metadata.get("kind"), metadata.get("format_version"))
        if found != (cls.KIND, FORMAT_VERSION):
            raise ValueError(f"expected kind {cls.KIND!r} in format_version {FORMAT_VERSION!r}, got {found}")
        names = [one.name for one in fields(cls) if one.init]
        return cls(**{name: metadata[name] if name == "layer" else arrays[name] for name in names})
