import json

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import gan_sensitivity as script
from jaxgen import losses
from jaxgen.training.command_line import run_script


def run(*args):
    run_script(script.Sensitivity, script.main, "experiments.gan_sensitivity", script.__doc__, list(map(str, args)))


def test_every_setting_has_its_number_of_modes(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "METHODS", {"unrolled GAN": {"loss": losses.minimax, "unroll": 1}})
    flags = [
        "--steps",
        3,
        "--learning-rates",
        1e-3,
        1e30,
        "--b1s",
        0.5,
        "--discriminator-steps",
        1,
        2,
        "--batch-size",
        8,
    ]
    with jax.debug_key_reuse(False):  # it sees reuse in every vmap of a scan over keys
        run("--run", tmp_path / "s", *flags)
    found = json.loads((tmp_path / "s" / "sensitivity.json").read_text())["unrolled GAN"]
    assert np.shape(found["1"]) == np.shape(found["2"]) == (2, 1)
    assert found["1"][1] == found["2"][1]  # at a rate of nothing the generator stays where it starts, whatever k
    assert all(0 <= modes <= 8 for (modes,) in found["1"] + found["2"])
    assert np.asarray(Image.open(tmp_path / "s" / "sensitivity.png")).std() > 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--learning-rates", "-1"], "positive numbers"),
        (["--b1s", "1.0"], "0 to below 1"),
        (["--steps", "0"], "at least 1"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--run", tmp_path / "s", *args)
    assert stopped.value.code == 2 and not (tmp_path / "s").exists()
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_what_is_there_is_not_written_over(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(SystemExit):
        run("--run", tmp_path)
    assert "choose --overwrite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--run", tmp_path, "--overwrite")
    assert "not overwritten" in capsys.readouterr().err and (tmp_path / "letter.txt").exists()
