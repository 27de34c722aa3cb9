"""Sprites by the command line of the VAE: their test split is bounded, and their factors are known."""

import json

import numpy as np
import pytest
from PIL import Image
from support import SHORT

from experiments import vae
from jaxgen.cli import main
from jaxgen.data import load
from jaxgen.training import read_metrics


def test_sprites_train_and_are_evaluated(tmp_path, capsys):
    """An evaluation goes over the test split, not over all images of the world."""
    flags = ["--source", "sprites", "--image-size", "16", "--hidden", "16"]
    flags += ["--importance-samples", "0", "--learning-rate", "0.01"]
    main(vae.experiment, [*SHORT, *flags, "--run", str(tmp_path)])
    assert "test elbo" in capsys.readouterr().out
    [figures] = [record for record in read_metrics(tmp_path) if "test_elbo" in record]
    assert figures["step"] == 12
    assert figures["test_examples"] == len(load("sprites", "test")) < len(load("sprites", "train"))
    assert figures["test_elbo"] == pytest.approx(figures["test_log_likelihood"] - figures["test_kl"], rel=1e-4)
    assert figures["test_elbo"] > -0.9 * 256 * np.log(2)  # of grey pixels, with which training begins

    pictures = {}
    for name in ("samples", "reconstructions", "latent_scatter", "mutual_information", "arithmetic"):
        pictures[name] = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"), float)
        assert pictures[name].std() > 1
    assert pictures["reconstructions"].max() == 255  # the sprites beside what is decoded

    main(vae.experiment, ["evaluate", "--run", str(tmp_path)])
    again = json.loads((tmp_path / "evaluation.json").read_text())
    assert again["test_elbo"] == pytest.approx(figures["test_elbo"], rel=1e-5)
    assert again["test_examples"] == figures["test_examples"]
