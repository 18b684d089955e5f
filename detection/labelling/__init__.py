"""Labelling with a detector that learns from every photo: see docs/labelling.md."""
