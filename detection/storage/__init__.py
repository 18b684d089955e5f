"""Files of the project's own: written in one atomic move, keyed by what made them; readers with limits."""

from detection.storage.arrays import read_arrays, read_metadata, write_arrays
from detection.storage.atomic import atomic_path, write_json, write_pieces, write_text, write_yaml
from detection.storage.bounded import read_json, read_yaml
from detection.storage.csv_files import csv_text, read_csv
from detection.storage.fingerprint import added_field, file_fingerprint, fingerprint
from detection.storage.names import (
    encodable,
    error_text,
    file_stem,
    printable,
    readable_paths,
    readable_stem,
    readable_stems,
    shortened,
)
from detection.storage.notices import notice, notice_damaged
from detection.storage.sealed import read_sealed_json, read_sealed_yaml, write_sealed_json, write_sealed_yaml

__all__ = [
    "added_field",
    "atomic_path",
    "csv_text",
    "encodable",
    "error_text",
    "file_fingerprint",
    "file_stem",
    "fingerprint",
    "notice",
    "notice_damaged",
    "printable",
    "read_arrays",
    "read_csv",
    "read_json",
    "read_metadata",
    "read_sealed_json",
    "read_sealed_yaml",
    "read_yaml",
    "readable_paths",
    "readable_stem",
    "readable_stems",
    "shortened",
    "write_arrays",
    "write_json",
    "write_pieces",
    "write_sealed_json",
    "write_sealed_yaml",
    "write_text",
    "write_yaml",
]
