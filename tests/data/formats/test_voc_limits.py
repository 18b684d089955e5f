"""Annotations at their limits: elements and depth, and work that grows as the file does."""

import sys

import pytest

from detection.data import DataError, Problems
from detection.data.formats import voc_xml
from detection.data.formats.voc_xml import MAX_DEPTH, read_annotation

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
OBJECT = f"<object><name>cat</name>{BOX}</object>\n"


def annotation(tmp_path, content):
    path = tmp_path / "a.xml"
    path.write_text(f"<annotation>{content}</annotation>")
    return path


def test_elements_up_to_the_limit(tmp_path, monkeypatch):
    path = annotation(tmp_path, OBJECT * 3)
    monkeypatch.setattr(voc_xml, "MAX_ELEMENTS", 1 + 3 * 7)
    assert len(read_annotation(path, Problems()).objects) == 3
    monkeypatch.setattr(voc_xml, "MAX_ELEMENTS", 3 * 7)
    with pytest.raises(DataError, match=r"a\.xml:3: malformed annotation: expected at most 21 elements"):
        read_annotation(path, Problems())


def test_depth_up_to_the_limit(tmp_path):
    def nested(depth):
        return annotation(tmp_path, OBJECT + "<a>" * (depth - 1) + "</a>" * (depth - 1))

    assert len(read_annotation(nested(MAX_DEPTH), Problems()).objects) == 1
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(DataError, match=r"a\.xml:2: malformed annotation: expected elements at most 32 deep"):
            read_annotation(nested(depth), Problems())


def test_work_grows_as_the_file_does(tmp_path):
    """Counted in calls of functions, Python's and others': they do not depend on the machine."""

    def calls(count):
        path, made = annotation(tmp_path, OBJECT * count), 0

        def count_call(_frame, event, _argument):
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            found = read_annotation(path, Problems())
        finally:
            sys.setprofile(None)
        assert len(found.objects) == count
        return made

    assert calls(1600) < 1.05 * 16 * calls(100)
