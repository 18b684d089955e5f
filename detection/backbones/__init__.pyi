# Written by `python -m tests.stubs` from the names in __init__.py.
from .backbone import Backbone as Backbone
