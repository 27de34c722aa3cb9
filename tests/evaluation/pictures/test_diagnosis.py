import numpy as np
import pytest
from PIL import Image

from jaxgen.evaluation import diagnose
from jaxgen.evaluation.pictures import draw_diagnosis


def records(shares, value=0.5):
    """Records of 30 steps, with the shares of four modes at every third."""
    steps = [{"step": i, "discriminator_loss": value, "generator_loss": value} for i in range(1, 31)]
    found = {f"share_{i}": share for i, share in enumerate(shares)} | {"modes_covered": 4.0}
    return steps + [{"step": i, "diversity": 1.0, "high_quality": 1.0, **found} for i in range(3, 31, 3) if shares]


@pytest.mark.parametrize(
    ("made", "panels"), [(records([0.25] * 4), 4), (records([0.5, 0.5, 0, 0]), 4), (records(()), 3), ([], 3)]
)
@pytest.mark.filterwarnings("error")  # matplotlib warns of a layout that fails
def test_there_is_a_panel_for_everything_that_is_known(made, panels, tmp_path):
    found = diagnose(made)
    draw_diagnosis(tmp_path / "few.png", made, found)
    draw_diagnosis(tmp_path / "all.png", made, found, np.array([1j, -1j]))
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as more:
        assert few.width == round(3.6 * panels * 80) and more.width == round(3.6 * (panels + 1) * 80)


def test_missing_modes_are_crossed_in_red(tmp_path):
    red = {}
    for name, shares in {"all": [0.25] * 4, "two": [0.5, 0.5, 0, 0]}.items():
        made = records(shares)
        draw_diagnosis(tmp_path / f"{name}.png", made, diagnose(made))
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        red[name] = (pixels == (255, 0, 0)).all(-1).sum()
    assert red["all"] == 0 < red["two"]
