"""Candidate windows: selective search, and how well windows cover objects."""

from detection.proposals.recall import best_overlaps, mean_average_best_overlap, recall_at
from detection.proposals.selective_search import propose, selective_search
from detection.proposals.settings import PRESETS, ProposalSettings
from detection.proposals.store import ProposalStore

__all__ = [
    "PRESETS",
    "ProposalSettings",
    "ProposalStore",
    "best_overlaps",
    "mean_average_best_overlap",
    "propose",
    "recall_at",
    "selective_search",
]
