"""Classifiers of whole images of any size (paper, section 3)."""
