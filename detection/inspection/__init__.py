"""Looking inside a trained detector: what filters see, why a window has its score."""
