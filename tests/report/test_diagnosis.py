import numpy as np
import pytest
from PIL import Image

from jaxgen.report import plot_diagnosis

RECORDS = [{"step": i, "discriminator_loss": 1.0, "generator_loss": float("nan")} for i in range(5)]


@pytest.mark.filterwarnings("error")  # matplotlib warns of a layout that fails
@pytest.mark.parametrize(
    ("parts", "panels"),
    [
        ({}, 3),
        ({"shares": np.ones(3) / 3}, 4),
        ({"shares": np.array([1.0, 0.0]), "missing": [1], "eigenvalues": np.array([1j, -1j])}, 5),
    ],
)
def test_a_panel_for_everything_that_is_given(tmp_path, parts, panels):
    plot_diagnosis(tmp_path / "all.png", RECORDS, "partial_mode_collapse", **parts)
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.width == round(3.6 * panels * 80)
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels == (255, 0, 0)).all(-1).any() == ("missing" in parts)  # the crosses, and the axis of stability
