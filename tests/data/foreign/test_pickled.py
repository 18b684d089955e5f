import codecs
import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from detection.data.foreign.child import ForeignReader
from detection.data.foreign.pickled import MAX_DEPTH, read_pickle
from detection.proposals.foreign import read_proposals


@pytest.fixture(scope="module")
def reader():
    with ForeignReader() as one:
        yield one


def written(tmp_path, content, protocol=2, name="boxes.pkl"):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(24).reshape(6, 4)[::2],
        np.zeros((0, 4), np.uint16),
        np.array([True, False]),
        np.arange(4, dtype=">i2"),
        np.float64(2.5),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_every_protocol(tmp_path, protocol, array):
    found = read_pickle(written(tmp_path, {"a": [array, 1, "x", None]}, protocol))
    value = found["a"][0]
    assert np.array_equal(value, array)
    assert value.dtype == array.dtype.newbyteorder("=") or value.dtype == array.dtype
    assert found["a"][1:] == [1, "x", None]


def test_an_array_of_arrays_is_a_list(tmp_path):
    cells = np.empty(2, object)
    cells[0], cells[1] = np.ones((1, 4)), np.zeros((0, 4))
    found = read_pickle(written(tmp_path, cells))
    assert [one.shape for one in found] == [(1, 4), (0, 4)]


def test_python_2_wrote_bytes_as_text(tmp_path):
    # What cPickle of Python 2 writes for np.array([1, 2], '<f4') at protocol 2.
    text = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x00\x00\x80?\x00\x00\x00@tb."
    )
    path = tmp_path / "two.pkl"
    path.write_bytes(text)
    assert read_pickle(path).tolist() == [1, 2]


class Attack:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def hostile(tmp_path):
    mark = str(tmp_path / "ran")
    return mark, [
        Attack(os.system, (f"touch {mark}",)),
        Attack(eval, (f"open({mark!r}, 'w')",)),
        Attack(open, (mark, "w")),
        Attack(np.save, (mark, np.zeros(1))),
        Attack(np.load, (mark,)),
        Attack(getattr, ("x", "join")),
        Attack(__import__, ("os",)),
        Attack(np.fromfile, (mark,)),
    ]


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_file_runs_nothing(tmp_path, reader, which, protocol):
    mark, attacks = hostile(tmp_path)
    path = written(tmp_path, {"boxes": [attacks[which]], "ids": [1]}, protocol)
    with pytest.raises(ValueError, match=r"boxes.pkl: expected a pickle of NumPy arrays and builtin containers"):
        reader.read("pickle", path)
    assert not os.path.exists(mark)


@pytest.mark.parametrize(
    "text",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0ccore.os.path\x93.",  # dotted name through an admitted module
        b"\x80\x04\x8c\x05numpy\x8c\x08ndarray.\x93.",
        b"cnumpy\nndarray\n(tR}(S'state'\nS'x'\ndb.",  # attributes of a stand-in
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"c__builtin__\ngetattr\n.",
        b"cbuiltins\nbytes\n(I99999999999999\ntR.",
        b"cbuiltins\nlist\n)\x81N}S'append'\nI1\ns\x86b.",
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"(lp0\n" * 100000,
        b"\x80\x02" + b"]" * 200000 + b"a" * 199999 + b".",
        b"P1\n.",
        b"",
        b"\x80\x05\x95",
        b"garbage",
    ],
    ids=range(15),
)
def test_crafted_bytes_are_refused_or_harmless(tmp_path, reader, text):
    path = tmp_path / "boxes.pkl"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"boxes.pkl"):
        reader.read("pickle", path)


def forged(dtype, shape, content, flags=0, order="|"):
    """A pickled array whose state says what it likes."""

    class Kind:
        def __reduce__(self):
            return np.dtype, (dtype, False, True), (3, order, None, None, None, -1, -1, flags)

    class Fake:
        def __reduce__(self):
            function, arguments = np.zeros(1).__reduce__()[:2]
            return function, arguments, (1, shape, Kind(), False, content)

    return Fake()


@pytest.mark.parametrize(
    ("dtype", "shape", "content"),
    [
        ("f8", (10**15,), b"12345678"),  # claims more than it has
        ("f8", (-1, 3), b"12345678"),
        ("O8", (1,), b"12345678"),  # a pointer as bytes
        ("V16", (1,), b"1234567812345678"),
        ("f8,O", (1,), b"1234567812345678"),
        ("S4", (1,), b"abcd"),
        ("no such", (1,), b"12345678"),
        ("f8", "shape", b"12345678"),
        ("f8", (1,), 7),
    ],
)
def test_forged_arrays_are_refused(tmp_path, reader, dtype, shape, content):
    path = written(tmp_path, {"boxes": [forged(dtype, shape, content)], "ids": [1]})
    with pytest.raises(ValueError, match=r"boxes.pkl"):
        reader.read("pickle", path)


@pytest.mark.parametrize(
    ("dtype", "order"), [(None, "|"), (5, "|"), (list, "|"), ("f8", 5), ("f8", None), (None, None)]
)
def test_dtypes_that_are_no_text_are_refused(tmp_path, dtype, order):
    """NumPy itself takes None for f8, and list for objects."""
    path = written(tmp_path, forged(dtype, (1,), b"12345678", order=order))
    with pytest.raises(ValueError, match=r"boxes\.pkl: .*got an array of no dtype"):
        read_pickle(path)


@pytest.mark.parametrize(("order", "kind"), [("<", "<f8"), (">", ">f8"), ("=", "f8"), ("|", "f8")])
def test_bytes_come_in_the_order_that_the_file_says(tmp_path, order, kind):
    found = read_pickle(written(tmp_path, forged("f8", (1,), b"12345678", order=order)))
    assert found.tolist() == np.frombuffer(b"12345678", kind).tolist()


def test_the_file_is_what_pickletools_says(tmp_path):
    """The forging above reaches the unpickler: it is a pickle like any other."""
    text = pickle.dumps(forged("f8", (1,), b"12345678"), 2)
    out = io.StringIO()
    pickletools.dis(text, out)
    assert "_reconstruct" in out.getvalue()
    path = tmp_path / "good.pkl"
    path.write_bytes(text)
    assert read_pickle(path).tolist() == np.frombuffer(b"12345678").tolist()


def test_detectron(tmp_path):
    boxes = [np.float32([[0, 0, 9, 9], [1, 2, 3, 4]]), np.zeros((0, 4), np.float32)]
    content = {"boxes": boxes, "scores": [np.float32([0.1, 0.7]), np.zeros(0, np.float32)], "indexes": [3, 12]}
    file = read_proposals(written(tmp_path, content))
    assert file.image_ids == ("3", "12")
    assert file.numbered
    content["indexes"] = ["3", "12"]
    assert not read_proposals(written(tmp_path, content)).numbered
    assert str(file.convention) == "order xyxy, base 0, end inclusive"
    assert file.boxes[0].tolist() == [[1, 2, 3, 4], [0, 0, 9, 9]]  # by score
    assert file.boxes[1].shape == (0, 4)


def test_scores_that_are_all_equal_keep_the_order(tmp_path):
    boxes = np.random.default_rng(0).random((50, 4)).astype(np.float32)
    file = read_proposals(written(tmp_path, {"boxes": [boxes], "scores": [np.zeros(50)], "ids": ["a"]}))
    assert np.array_equal(file.boxes[0], boxes)


def test_detectron2(tmp_path):
    content = {"proposal_boxes": [np.array([[1, 2, 30, 40]])], "objectness_logits": [np.ones(1)], "ids": np.array([7])}
    assert str(read_proposals(written(tmp_path, content)).convention) == "order xyxy, base 0, end exclusive"
    content["bbox_mode"] = 1
    assert str(read_proposals(written(tmp_path, content)).convention) == "order xywh, base 0, end exclusive"
    content["bbox_mode"] = 9
    with pytest.raises(ValueError, match=r"expected bbox_mode 0 .* got 9"):
        read_proposals(written(tmp_path, content))


def test_mmdetection_has_no_ids(tmp_path):
    file = read_proposals(written(tmp_path, [np.array([[1, 2, 3, 4, 0.2], [5, 6, 7, 8, 0.9]])]))
    assert file.image_ids is None
    assert file.boxes[0].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"boxes": 5, "ids": [1]}, "boxes: expected a list with an item an image, got 5"),
        ({"boxes": [5], "ids": [1]}, "image 1: expected rows of four numbers"),
        ({"boxes": [[]], "ids": 7}, "ids: expected a list with an item an image, got 7"),
        ({"boxes": [[]], "ids": [[1, [2]]]}, "expected text or a number as the id of an image"),
        ({"boxes": [[]], "ids": [10**400]}, "a number of 1329 bits, at most 1000 are read"),
        ({"boxes": [[]], "scores": 3}, "scores: expected a list"),
        ({"boxes": [[[1, 2, 3, 4]]], "scores": [["x"]]}, "image 1: expected numbers as scores"),
        ({"boxes": [[[1, 2, 3, 10**250]]]}, "image 1: expected rows of four numbers"),
        ({"boxes": [], "bbox_mode": [[0], [1, 2]]}, "expected bbox_mode 0"),
        ({(1, 2): []}, "a tuple as the key of a dictionary"),
        ({"boxes": [{1}]}, "set, which such a file has no use for"),
    ],
    ids=range(11),
)
def test_values_of_the_wrong_kind_are_named(tmp_path, content, fault):
    with pytest.raises(ValueError, match=rf"boxes\.pkl: .*{fault}"):
        read_proposals(written(tmp_path, content))


def nested(depth, value=1):
    for _ in range(depth):
        value = [value]
    return value


def test_lists_in_lists_up_to_the_limit(tmp_path):
    assert read_pickle(written(tmp_path, nested(MAX_DEPTH)))
    with pytest.raises(ValueError, match="lists that hold each other"):
        read_pickle(written(tmp_path, nested(MAX_DEPTH + 1)))
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="lists that hold each other"):
        read_pickle(written(tmp_path, endless))


def test_arrays_in_lists_up_to_the_limit(tmp_path):
    """An array is one level; one of objects is two, with the list that it becomes."""
    assert read_pickle(written(tmp_path, nested(MAX_DEPTH - 1, np.ones(1))))
    with pytest.raises(ValueError, match="lists that hold each other"):
        read_pickle(written(tmp_path, nested(MAX_DEPTH, np.ones(1))))
    cells = 1
    for _ in range(MAX_DEPTH // 2 + 1):
        inner, cells = cells, np.empty(1, object)
        cells[0] = inner
    assert read_pickle(written(tmp_path, inner)) == nested(MAX_DEPTH // 2)
    with pytest.raises(ValueError, match="lists that hold each other"):
        read_pickle(written(tmp_path, cells))


def test_shared_lists_and_arrays(tmp_path):
    boxes = np.ones((1000, 4))
    found = read_pickle(written(tmp_path, [boxes] * 1000))
    assert len(found) == 1000
    assert found[0] is found[-1]
    doubled = [1]
    for _ in range(12):
        doubled = [doubled] * 9
    with pytest.raises(ValueError, match=r"boxes\.pkl: .* got the same lists again and again"):
        read_pickle(written(tmp_path, doubled))


@pytest.mark.parametrize(
    ("text", "number"), [(b"\x80\x02Nr\x03\x00\x00\x00.", 3), (b"Np3\n.", 3), (b"Nr\xff\xff\xff\x7f.", 2147483647)]
)
def test_numbers_of_values_up_to_the_steps(tmp_path, text, number):
    """A number larger than the steps before it would make room for as many values."""
    path = tmp_path / "boxes.pkl"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"got value number {number} after [12] steps"):
        read_pickle(path)
    path.write_bytes(b"\x80\x02Nr\x02\x00\x00\x00.")
    assert read_pickle(path) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"ids": [1]}, "expected the keys boxes and ids or indexes, got ids"),
        ({}, "expected the keys boxes and ids or indexes, got none"),
        ("text", "expected a dictionary with boxes and ids, got str"),
        ({"boxes": [np.zeros((2, 3))], "ids": [1]}, "image 1: expected rows of four numbers"),
        ({"boxes": [np.zeros((2, 4))], "ids": [1, 2]}, "for each of its 2 image ids, got 1"),
        ({"boxes": [np.zeros((2, 4))], "ids": [1], "scores": [np.zeros(3)]}, "image 1: expected 2 scores, got 3"),
        ({"boxes": [np.zeros((2, 4))], "ids": [1], "scores": []}, "expected scores of each of 1 images, got 0"),
    ],
)
def test_other_content_is_named(tmp_path, content, fault):
    with pytest.raises(ValueError, match=fault):
        read_proposals(written(tmp_path, content))


def test_a_message_does_not_repeat_the_file(tmp_path):
    class Long:
        def __reduce__(self):
            return codecs.encode, ("a", "latin" + 5000 * "[")

    with pytest.raises(ValueError, match=r"boxes.pkl: expected a pickle .* got bytes encoded as 'latin\[") as error:
        read_pickle(written(tmp_path, Long()))
    assert len(str(error.value)) < 500 + len(str(tmp_path))
