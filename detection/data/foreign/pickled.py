"""Detectron's and mmdetection's pickled proposals, read without running anything that is in the file."""

import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from detection.storage import error_text

_NUMBERS = "biuf"
# Steps that give a value a number, by which it can be named again.
_NUMBERING = ("PUT", "BINPUT", "LONG_BINPUT")
_NUMPY_MODULES = ("numpy", *(f"numpy.{one}.{part}" for one in ("core", "_core") for part in ("multiarray", "numeric")))
_CONTAINERS = {"list": list, "dict": dict, "tuple": tuple}
# Of lists in lists.
MAX_DEPTH = 16
# A file may name one list again and again, each time in two bytes: so many values may come of a byte.
MAX_VALUES_PER_BYTE = 16
# What a damaged or hostile file makes the unpickler raise.
_ERRORS = (
    pickle.UnpicklingError,
    AttributeError,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class _Dtype:
    """Stands for numpy.dtype: keeps the name, builds a real dtype of plain numbers only."""

    __slots__ = ("name", "order")

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def build(self) -> np.dtype | None:
        """The dtype; None for objects. Raises ValueError for anything but numbers."""
        if not isinstance(self.name, str) or not isinstance(self.order, str):
            raise ValueError("an array of no dtype")
        dtype = np.dtype(self.name)
        if dtype.kind == "O":
            return None
        if dtype.kind not in _NUMBERS or dtype.subdtype is not None:
            raise ValueError(f"an array of dtype {dtype}")
        return dtype.newbyteorder(self.order if self.order in "<>" else "=")


class _Array:
    """Stands for numpy.ndarray: keeps shape and bytes, which are looked at when all is read."""

    __slots__ = ("state",)

    def __init__(self, *_: Any) -> None:
        self.state: tuple = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)[-4:]

    def build(self) -> Any:
        """A real array of numbers, or for an array of objects the list of them."""
        shape, dtype, by_column, content = self.state
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array of no dtype")
        kind = dtype.build()
        if kind is None:
            if not isinstance(content, list):
                raise ValueError("an array of objects that is no list")
            return content
        content = content.encode("latin1") if isinstance(content, str) else bytes(content)
        return np.frombuffer(content, kind).reshape(shape, order="F" if by_column else "C").copy()


class _Makers:
    """What a file may call. Bound methods: a file can change nothing of them."""

    __slots__ = ()

    def array(self, *_: Any) -> _Array:
        return _Array()

    def array_of_buffer(self, content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        found = _Array()
        found.__setstate__((shape, dtype, order == "F", content))
        return found

    def scalar(self, dtype: Any, content: Any) -> _Array:
        found = _Array()
        found.__setstate__(((), dtype, False, content))
        return found

    def dtype(self, *arguments: Any) -> _Dtype:
        return _Dtype(*arguments)

    def content(self, value: Any = b"", encoding: Any = "latin1") -> bytes:
        if isinstance(value, int):
            raise ValueError("bytes of a length")  # bytes(10**12) would be made
        return self.encoded(value, encoding) if isinstance(value, str) else bytes(value)

    def encoded(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError(f"bytes encoded as {encoding!r}")
        return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Admits NumPy arrays, as stand-ins, and builtin containers; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        makers = _Makers()
        builtin_names = {**_CONTAINERS, "bytes": makers.content, "bytearray": makers.content}
        if module in ("builtins", "__builtin__") and name in builtin_names:
            return builtin_names[name]
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("_codecs", "encode"):
            return makers.encoded
        numpy_names = {
            "_reconstruct": makers.array,
            "ndarray": makers.array,
            "dtype": makers.dtype,
            "scalar": makers.scalar,
            "_frombuffer": makers.array_of_buffer,
        }
        if module in _NUMPY_MODULES and name in numpy_names:
            return numpy_names[name]
        raise pickle.UnpicklingError(f"{f'{module}.{name}':.80}, which such a file has no use for")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent id")


def read_pickle(path: Path | str) -> Any:
    """The content of a pickle: builtin containers, numbers, text, and NumPy arrays of numbers.

    Arrays of objects come as lists. Files of Python 2 too. Nothing of the file is run: every name but those of arrays
    and containers is refused, and arrays are built here from their shape, dtype and bytes. Raises ValueError naming
    the file for anything else.
    """
    try:
        with Path(path).open("rb") as file:
            _check_memo(file)
            file.seek(0)
            content = _Unpickler(file, encoding="latin1").load()
        return _Builder(MAX_VALUES_PER_BYTE * Path(path).stat().st_size).built(content, MAX_DEPTH)
    except _ERRORS as error:
        expected = "a pickle of NumPy arrays and builtin containers"
        raise ValueError(f"{path}: expected {expected}, got {error_text(error)}") from error


def _check_memo(file: BinaryIO) -> None:
    """Raise ValueError where the file gives a value a number that is above that of its steps.

    The unpickler makes room for all numbers below it: 11 bytes may ask for 32 GB. Sizes of text and bytes are compared
    with the file on the way.
    """
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if operation.name in _NUMBERING and argument > count:
            raise ValueError(f"value number {argument} after {count} steps")


class _Builder:
    """Makes real arrays of the stand-ins, each once, and counts what it makes. values: at most so many."""

    def __init__(self, values: int) -> None:
        self._left = values
        self._arrays: dict[int, tuple[Any, Any]] = {}

    def built(self, value: Any, depth: int) -> Any:
        """The value with all that is in it. Raises ValueError below `depth`, and for too many values."""
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise ValueError("lists that hold each other" if depth < 0 else "the same lists again and again")
        if isinstance(value, _Dtype):
            return value.name
        if isinstance(value, _Array):
            # The stand-in is kept too: another one could get its id.
            known = self._arrays.get(id(value)) or (value, self.built(value.build(), depth - 1))
            self._arrays[id(value)] = known
            return known[1]
        if isinstance(value, dict):
            return {self.built(key, depth - 1): self.built(one, depth - 1) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.built(one, depth - 1) for one in value)
        return value
