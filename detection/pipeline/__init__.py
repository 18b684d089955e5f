"""The stages of a run over a data set, and the run that puts them in order."""
