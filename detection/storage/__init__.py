"""Files of the project's own: written in one atomic move, keyed by what made them, checked on reading."""

from detection.storage.arrays import read_arrays, read_metadata, write_arrays
from detection.storage.atomic import atomic_path, read_json, read_yaml, write_json, write_text, write_yaml
from detection.storage.csv_files import csv_text, read_csv
from detection.storage.fingerprint import file_fingerprint, fingerprint
from detection.storage.names import file_stem, printable, readable_stem, readable_stems

__all__ = [
    "atomic_path",
    "csv_text",
    "file_fingerprint",
    "file_stem",
    "fingerprint",
    "printable",
    "read_arrays",
    "read_csv",
    "read_json",
    "read_metadata",
    "read_yaml",
    "readable_stem",
    "readable_stems",
    "write_arrays",
    "write_json",
    "write_text",
    "write_yaml",
]
