import pytest

from detection.proposals import PRESETS, ProposalSettings


def test_presets_have_the_papers_number_of_runs():
    runs = {name: len(spaces) * len(ks) * len(sets) for name, (spaces, ks, sets) in PRESETS.items()}
    assert runs == {"single": 1, "fast": 8, "diverse": 18, "quality": 80, "texture": 12}


def test_explicit_parameters_replace_parts_of_the_preset():
    settings = ProposalSettings(preset="fast", ks=[70])
    assert settings.resolved_colour_spaces == ("HSV", "Lab")
    assert settings.resolved_ks == (70,)
    assert settings.resolved_similarities == ("CTSF", "TSF")
    assert ProposalSettings().source == "selective_search/fast"
    assert settings.source == "selective_search/custom"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "magic"),
        ("preset", "slow"),
        ("colour_spaces", ("XYZ",)),
        ("colour_spaces", ()),
        ("ks", (0,)),
        ("ks", ()),
        ("similarities", ("STC",)),
        ("sigma", -0.1),
        ("sigma", float("nan")),
        ("min_size", 0),
        ("min_side", -1),
        ("max_overlap", 0),
        ("max_overlap", 1.1),
        ("max_windows", 0),
        ("resize_width", 0),
        ("max_pixels", 0),
        ("seed", -1),
    ],
)
def test_a_wrong_value_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=rf"proposals\.{key}: expected"):
        ProposalSettings(**{key: value})


def test_near_duplicates_go_by_preset_or_by_key_and_old_proposals_stay_valid():
    assert ProposalSettings().resolved_max_overlap == 1
    assert ProposalSettings(preset="diverse").resolved_max_overlap == 0.9
    assert ProposalSettings(preset="diverse", max_overlap=0.8).resolved_max_overlap == 0.8
    assert "max_overlap" not in ProposalSettings().identity()
    assert ProposalSettings(max_overlap=0.8).identity()["max_overlap"] == 0.8
    edges = ProposalSettings(method="edge_boxes", edge_boxes_model="model", preset="diverse")
    assert edges.resolved_max_overlap == 1
    assert "max_overlap" not in edges.identity()
    assert (
        ProposalSettings(method="edge_boxes", edge_boxes_model="model", max_overlap=0.7).identity()["max_overlap"]
        == 0.7
    )
