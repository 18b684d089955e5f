"""Candidate proposals: selective search, and how well proposals cover objects."""

from detection._lazy import lazy_names
from detection.proposals.propose import propose
from detection.proposals.quality import (
    ProposalQuality,
    best_overlaps,
    mean_average_best_overlap,
    proposal_quality,
    recall_at,
)
from detection.proposals.selective_search import selective_search
from detection.proposals.settings import PRESETS, ProposalSettings
from detection.proposals.store import ProposalStore

__all__ = [
    "PRESETS",
    "ProposalQuality",
    "ProposalSettings",
    "ProposalStore",
    "best_overlaps",
    "mean_average_best_overlap",
    "proposal_quality",
    "propose",
    "recall_at",
    "selective_search",
]

__getattr__, _, _ = lazy_names(
    __name__,
    {},
    renamed={
        "WindowQuality": "detection.proposals.quality.ProposalQuality",
        "window_quality": "detection.proposals.quality.proposal_quality",
    },
)
