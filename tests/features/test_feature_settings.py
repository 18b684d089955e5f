import pytest

from detection.features import FeatureSettings
from detection.storage import fingerprint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", "resnet1001"), ("backbone", "timm/"), ("weights", ""), ("stages", ()), ("stages", (32, 16)),
        ("stages", (16, 16)), ("short_sides", (688, 0)), ("levels", ()), ("levels", (3, -1)), ("max_long_side", 0),
        ("target_area", -1.0), ("stage_weights", (1.0,)), ("stage_weights", (1.0, 0.0)), ("layer", "fc8"),
        ("layer", "fc7"), ("pooling", "median"), ("stages", (16, "blocks.3", 8)), ("stages", ("blocks.3", "blocks.3")),
    ],
)  # fmt: skip
def test_wrong_values_name_the_key(key, value):
    with pytest.raises(ValueError, match=rf"^{key}: expected|^{key}: fc7 exists"):
        FeatureSettings(**{key: value})


def test_lists_from_yaml_become_tuples():
    settings = FeatureSettings(stages=[16, 32], short_sides=[480, 688], levels=[2, 1], stage_weights=[1.0, 2.0])
    assert settings == FeatureSettings(stages=(16, 32), short_sides=(480, 688), levels=(2, 1), stage_weights=(1.0, 2.0))
    assert hash(settings)
    assert FeatureSettings(stages=["blocks.8", 14, "blocks.3"]).stages == ("blocks.8", 14, "blocks.3")


def test_a_setting_that_came_later_changes_no_key_while_it_is_the_default():
    """Keys of runs from before there was a choice of pooling."""
    assert fingerprint(FeatureSettings(engine="torch")) == "426565073715ea90"
    assert fingerprint(FeatureSettings(engine="torch", pooling="mean")) != "426565073715ea90"
