"""What the proposals of a run were imported from, and the settings that follow from it."""

import dataclasses
from pathlib import Path
from typing import Any

from detection.proposals import ProposalSettings
from detection.storage import read_sealed_json
from detection.storage.run import RunFolder

FORMAT_VERSION = 1


def record_file(run: RunFolder) -> Path:
    """In the folder of proposals: what they were imported from."""
    return run.proposals / "imported.json"


def imported_record(run: RunFolder) -> dict[str, Any] | None:
    """What the proposals of a run were imported from, or None. Keys: fingerprint, files. Raises ValueError."""
    path = record_file(run)
    if not path.is_file():
        return None
    record = read_sealed_json(path, "run sppnet proposals import once more")
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}")
    return record


def proposal_settings_in_force(settings: ProposalSettings, run: RunFolder) -> ProposalSettings:
    """The settings, with the fingerprint of the run's imported proposals where the method is ``imported``.

    Raises ValueError where the run has none, and where it has some but the settings would make others in their place.
    """
    record = imported_record(run)
    if settings.method == "imported":
        if record is None:
            raise ValueError(
                f"proposals.method imported: expected imported proposals in {run.proposals}, found none; "
                "run sppnet proposals import"
            )
        return dataclasses.replace(settings, imported=record["fingerprint"])
    if record is not None:
        raise ValueError(
            f"{run.proposals} holds proposals imported from {', '.join(record['files'])}: expected "
            f"--proposals.method imported, got {settings.method}; for proposals of another method use another --run, "
            "or remove the folder"
        )
    return settings
