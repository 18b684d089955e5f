from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.data.splitting import split_images


def split(names, share=0.2, seed=0, contents=None):
    return split_images(names, share, seed, contents or {one: one for one in names})


def test_by_hand():
    names = {"a": ["cat"], "b": ["cat"], "c": ["dog"], "d": ["dog"]}
    kept, out = split(names, 0.5)
    assert Counter(names[one][0] for one in out) == {"cat": 1, "dog": 1}
    assert sorted(kept + out) == list(names)
    assert split({}, 0.5) == ([], [])
    assert split({"a": []}) == (["a"], [])
    assert all(split({"a": [], "b": []}))


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_is_between_none_and_all(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        split({"a": []}, share)


def test_equal_images_stay_together():
    names = {f"{number}": ["cat"] for number in range(20)}
    contents = {one: str(int(one) // 4) for one in names}
    _, out = split(names, 0.4, 1, contents)
    assert len(out) == 8
    assert all(len([one for one in out if contents[one] == key]) == 4 for key in {contents[one] for one in out})


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), min_size=2, max_size=40), st.integers(0, 9))
def test_every_image_is_in_one_part_and_the_seed_decides(lists, seed):
    names = {str(number): one for number, one in enumerate(lists)}
    kept, out = split(names, 0.25, seed)
    assert sorted(kept + out) == sorted(names)
    assert kept
    assert out
    assert split(names, 0.25, seed) == (kept, out)


def test_another_seed_gives_another_split():
    names = {str(number): ["cat"] for number in range(40)}
    assert len({tuple(split(names, 0.25, seed)[1]) for seed in range(5)}) == 5


def test_shares_of_each_class_are_kept():
    names = {str(n): ["rare"] if n % 25 == 0 else ["often", "also"] if n % 2 else [] for n in range(500)}
    _, out = split(names, 0.2, 3)
    counts = Counter(name for one in out for name in names[one])
    assert counts["rare"] == 4
    assert abs(counts["often"] - 48) <= 1
    assert abs(len(out) - 100) <= 2
