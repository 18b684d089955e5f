# Written by `python -m tests.stubs` from the names in __init__.py.
from .spp import pool_map as pool_map
