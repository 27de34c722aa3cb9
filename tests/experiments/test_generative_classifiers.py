"""The script of the generative classifiers, with models of a few steps."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import generative_classifiers as script
from jaxgen.cli import run_study

TINY = "--conditional --steps 2 --batch-size 8 --log-every 1"


def run(*args):
    arguments = list(map(str, args))
    run_study(script.GenerativeClassifiers, script.main, script.__file__, script.__doc__, arguments)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    flow = f"digits --width 4 --blocks 1 {TINY}"
    vae = f"digits --image-size 8 --latent 3 --hidden 6 --importance-samples 0 {TINY}"
    monkeypatch.setattr(script, "FLAGS", {"digits": {"flow": flow, "vae": vae}})
    for name, value in {"TEST": 30, "BATCH": 20, "SAMPLES": 10}.items():
        monkeypatch.setattr(script, name, value)


def test_figures_pictures_and_runs_that_are_given(tmp_path, capsys):
    run("--run", tmp_path / "a")
    found = json.loads((tmp_path / "a" / "classifiers.json").read_text())
    assert found["classifiers"].keys() == {"logistic regression", "RealNVP by Bayes' rule", "CVAE by Bayes' rule"}
    assert found["classifiers"]["logistic regression"]["accuracy"] > 0.8
    assert all(0 <= one["ece"] <= 1 and one["nll"] > 0 for one in found["classifiers"].values())
    assert found["hidden_l1"].keys() == {"CVAE", "nearest", "mean"} and found["hidden_l1"]["nearest"] > 0
    for name in ("reliability", "completions"):
        assert np.asarray(Image.open(tmp_path / "a" / f"{name}.png")).std() > 1
    given = ["--flow", tmp_path / "a" / "flow", "--vae", tmp_path / "a" / "vae"]
    run("--run", tmp_path / "b", *given)
    assert json.loads((tmp_path / "b" / "classifiers.json").read_text()) == found
    assert not (tmp_path / "b" / "flow").exists()
    with pytest.raises(SystemExit, match="2"):
        run("--run", tmp_path / "c", "--flow", tmp_path / "none")
