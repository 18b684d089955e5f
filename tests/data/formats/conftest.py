"""Lets the tests of this folder import the layouts of tools."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
