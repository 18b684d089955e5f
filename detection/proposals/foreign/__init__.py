"""Proposal files of other programs: read, checked, repaired, written. Names are loaded when first used."""

from detection._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "faults": ("FAULTS", "REMEDIES", "find_faults", "repair_proposals"),
        "formats": ("ProposalFormat", "WrittenFormat", "read_proposals", "write_proposals"),
        "proposal_files": ("BoxConvention", "ProposalFile", "check_convention", "match_proposals"),
    },
)
