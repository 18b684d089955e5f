import pytest

from detection.classification.settings import ClassifierSettings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ()}, "sizes"), ({"sizes": (9, 9)}, "sizes"), ({"epochs": 0}, "epochs"), ({"widths": (1,)}, "widths"),
        ({"dropout": 1.0}, "dropout"), ({"widths": (8, 0)}, "widths"), ({"seed": -1}, "seed"), ({"svm_c": 0}, "svm_c"),
    ],
)  # fmt: skip
def test_settings(wrong, message):
    with pytest.raises(ValueError, match=f"classifier.{message}"):
        ClassifierSettings(**wrong)


def test_layers_of_one_output():
    assert ClassifierSettings(widths=(1, 1)).widths == (1, 1)


def test_the_settings_of_its_layers():
    settings = ClassifierSettings(widths=[16, 8], learning_rate=0.2, epochs=7, dropout=0.25)
    layers = settings.layers()
    assert (settings.widths, layers.widths) == ((16, 8), (16, 8))
    assert (layers.learning_rates, layers.iterations, layers.dropout) == ((0.2,), (7,), 0.25)
