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


def test_the_list_of_names_is_whole():
    homes = {name for names in learning._ROOMS.values() for name in names}
    assert homes == set(learning.__all__)
    assert set(learning.__all__) <= set(dir(learning))


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        learning.nothing  # noqa: B018
