"""The one place where OpenVINO is imported."""

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """The package openvino without its telemetry, which writes an id into the home folder and reports its use."""
    # With None in place of that package OpenVINO takes a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino
