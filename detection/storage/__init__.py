"""Files of the project's own: written in one atomic move, keyed by what made them; readers with limits."""

from detection.storage.arrays import read_arrays, read_metadata, write_arrays
from detection.storage.atomic import atomic_path, csv_text, write_json, write_text, write_yaml
from detection.storage.bounded import read_json, read_yaml
from detection.storage.fingerprint import file_fingerprint, fingerprint
from detection.storage.names import file_stem

__all__ = [
    "atomic_path",
    "csv_text",
    "file_fingerprint",
    "file_stem",
    "fingerprint",
    "read_arrays",
    "read_json",
    "read_metadata",
    "read_yaml",
    "write_arrays",
    "write_json",
    "write_text",
    "write_yaml",
]
