"""Candidate windows: selective search, and how well windows cover objects."""

from detection.proposals.propose import propose
from detection.proposals.quality import WindowQuality, window_quality
from detection.proposals.recall import best_overlaps, mean_average_best_overlap, recall_at
from detection.proposals.selective_search import selective_search
from detection.proposals.settings import PRESETS, ProposalSettings
from detection.proposals.store import ProposalStore

__all__ = [
    "PRESETS",
    "ProposalSettings",
    "ProposalStore",
    "WindowQuality",
    "best_overlaps",
    "mean_average_best_overlap",
    "propose",
    "recall_at",
    "selective_search",
    "window_quality",
]
