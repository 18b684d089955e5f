"""Proposal files of other programs: read, checked, repaired, written.

Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "faults": (
        "FAULTS",
        "REMEDIES",
        "find_faults",
        "repair_proposals",
    ),
    "formats": (
        "ProposalFormat",
        "WrittenFormat",
        "read_proposals",
        "write_proposals",
    ),
    "proposal_files": (
        "BoxConvention",
        "ProposalFile",
        "check_convention",
        "match_proposals",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "FAULTS",
    "REMEDIES",
    "BoxConvention",
    "ProposalFile",
    "ProposalFormat",
    "WrittenFormat",
    "check_convention",
    "find_faults",
    "match_proposals",
    "read_proposals",
    "repair_proposals",
    "write_proposals",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
