import numpy as np
import pytest

from detection.learning import MiningCheckpoint

ARRAYS = {"0.places": np.array([3, 1]), "0.keys": np.zeros((0, 2), np.int64), "weights": np.ones((1, 4), np.float32)}
FACTS = {"number": 2, "done": 3, "images": 5, "last_image": "c", "gap": 0.1 + 0.2}


@pytest.fixture
def checkpoint(tmp_path):
    found = MiningCheckpoint(tmp_path / "mining", "key")
    found.write(ARRAYS, {**FACTS, "done": 1})
    found.write(ARRAYS, FACTS)
    found.rows_file.write_bytes(b"rows")
    return found


def test_the_last_state_comes_back(checkpoint):
    arrays, facts = checkpoint.read()
    assert facts == FACTS
    assert {name: value.tolist() for name, value in arrays.items()} == {n: v.tolist() for n, v in ARRAYS.items()}
    assert arrays["0.keys"].shape == (0, 2)
    # Two passes of five images, that for the positives among them, and three.
    assert checkpoint.images_done() == 13


def test_nothing_to_go_on_from(checkpoint, caplog):
    assert MiningCheckpoint(checkpoint.folder, "other").read() is None
    checkpoint.state_file.write_bytes(checkpoint.state_file.read_bytes()[:-5])
    assert checkpoint.read() is None
    checkpoint.write(ARRAYS, FACTS)
    data = bytearray(checkpoint.state_file.read_bytes())
    data[-1] ^= 1
    checkpoint.state_file.write_bytes(data)
    assert checkpoint.read() is None
    assert [one.split(": ", 1)[0] for one in caplog.messages] == [str(checkpoint.state_file)] * 2
    assert all(one.endswith("; mining begins anew") for one in caplog.messages)
    checkpoint.write(ARRAYS, FACTS)
    checkpoint.rows_file.unlink()
    assert checkpoint.read() is None
    assert checkpoint.images_done() == 0
    checkpoint.remove()
    assert not checkpoint.folder.exists()
