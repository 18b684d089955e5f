from hypothesis import given, settings
from hypothesis import strategies as st

from detection.visualization import labels
from detection.visualization.labels import fit, label_size, place, printable


def overlap(first, second):
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def test_the_first_font_that_the_system_has_and_else_the_own_one(monkeypatch):
    there, asked = set(labels._FALLBACK_FONTS[2:]), []

    def opened(name, size):
        asked.append(name)
        if name not in there:
            raise OSError(name)
        return name, size

    monkeypatch.setattr(labels.ImageFont, "truetype", opened)
    load = labels.load_font.__wrapped__
    assert load(17, False) == (labels._FALLBACK_FONTS[2], 17)
    assert asked == list(labels._FALLBACK_FONTS[:3])
    own = object()
    monkeypatch.setattr(labels.ImageFont, "load_default", lambda size: (own, size))
    assert load(17, True) == (own, 17)
    there.clear()
    assert load(17, False) == (own, 17)


def test_above_the_box_where_there_is_room():
    assert place((20, 30, 60, 80), (10, 25), (100, 100), []) == (20, 20, 45, 30)


def test_inside_the_box_at_the_top_of_the_image():
    assert place((20, 5, 60, 80), (10, 25), (100, 100), []) == (20, 5, 45, 15)


def test_shifted_left_at_the_right_border():
    assert place((90, 30, 99, 80), (10, 25), (100, 100), []) == (75, 20, 100, 30)


def test_off_a_label_that_is_there_already():
    box, label, size = (20, 30, 60, 80), (10, 25), (100, 100)
    taken = []
    for _ in range(4):
        taken.append(place(box, label, size, taken))
    assert not any(overlap(a, b) for i, a in enumerate(taken) for b in taken[:i])


def test_where_everything_is_taken_the_first_place():
    assert place((20, 30, 60, 80), (10, 25), (100, 100), [(0, 0, 100, 100)]) == (20, 20, 45, 30)


def test_where_everything_is_taken_the_place_that_hides_least():
    box, label, size = (20, 30, 60, 80), (10, 25), (100, 100)
    every = [(0, 0, 100, 45), (0, 45, 100, 79), (0, 84, 100, 100)]
    # Below the box only 6 of 10 rows are taken.
    assert place(box, label, size, every) == (20, 80, 45, 90)


@settings(max_examples=300)
@given(st.data())
def test_always_inside_the_image(data):
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    label = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height)))
    left, top, right, bottom = place(box, label, (height, width), [])
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (bottom - top, right - left) == label


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=30), st.integers(1, 80), st.integers(1, 200))
def test_what_fits_does_fit(text, height, width):
    fitted = fit(printable(text), 20, 10, (height, width))
    if fitted is not None:
        assert 10 <= fitted[1] <= 20
        needed = label_size(*fitted)
        assert needed[0] <= height
        assert needed[1] <= width


def test_smaller_before_shorter_before_nothing():
    text = "motorbike 0.97"
    height, width = label_size(text, 20)
    assert fit(text, 20, 10, (height, width)) == (text, 20)
    smaller = fit(text, 20, 10, (height, width - 1))
    assert smaller[0] == text
    assert smaller[1] < 20
    shorter = fit(text, 20, 10, (height, label_size(text, 10)[1] - 1))
    assert shorter[0].endswith("...")
    assert text.startswith(shorter[0][:-3])
    least = label_size(text, 10)
    # The least size itself, with just the room it takes.
    assert fit(text, 20, 10, least) == (text, 10)
    assert fit(text, 20, 10, (least[0] - 1, least[1])) is None
    assert fit(text, 20, 10, (3, 500)) is None
    assert fit(text, 20, 10, (50, 3)) is None


def test_line_ends_and_lone_surrogates_become_blanks():
    assert printable("a\nb\udc80é") == "a b é"
