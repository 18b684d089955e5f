"""Average precision and its kin."""
