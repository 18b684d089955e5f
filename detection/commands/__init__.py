"""The commands: a module each, whose ``main`` is the command line; `sppnet` has their names."""
