import subprocess
import sys

import pytest

import detection.learning as learning


def test_importing_the_room_loads_no_torch():
    code = (
        "import sys, detection.learning as room\n"
        "assert not {'torch', 'numba', 'cv2'} & set(sys.modules)\n"
        "names = [getattr(room, name) for name in room.__all__]\n"
        "assert 'torch' not in sys.modules and callable(room.postprocess)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_the_last_version():
    for old, new in (
        ("WindowFate", "NMSOutcome"),
        ("fate_of_window", "nms_outcome"),
        ("norm_sample_windows", "norm_sample_proposals"),
    ):
        with pytest.warns(DeprecationWarning, match=f"learning.{old} is called {new} now"):
            assert getattr(learning, old) is getattr(learning, new)
        assert old not in learning.__all__
