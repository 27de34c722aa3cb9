"""The examples of docs/extending.md run as they are written, each as a file of a user's."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgen
from experiments import diffusion
from jaxgen.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
SNIPPETS = {
    title: re.search(r"```python\n(.*?)```", text, flags=re.S).group(1)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.S | re.M)
}
SAMPLED = {
    "A loss": ("points", (1000, 2)),
    "A sampler": ("images", (16, 8, 8, 1)),
    "A likelihood": ("images", (16, 8, 8, 1)),
    "A network": ("images", (16, 8, 8, 1)),
    "Data": ("images", (16, 16, 16, 1)),
}


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    """A function that runs a snippet as a file in a folder of its own, and returns its names."""
    monkeypatch.chdir(tmp_path)

    def run(title):
        path = tmp_path / "own.py"
        path.write_text(SNIPPETS[title])
        spec = importlib.util.spec_from_file_location("own", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own", module)
        spec.loader.exec_module(module)
        return module

    return run


@pytest.fixture
def diffusion_run(tmp_path, monkeypatch):
    """A run of diffusion in runs/diffusion."""
    monkeypatch.chdir(tmp_path)
    tiny = "--image-size 8 --width 4 --multipliers 1 --blocks 1 --timesteps 20 --sampling-steps 4 --no-conditional"
    main(diffusion.experiment, [*tiny.split(), "--steps", "4", "--eval-samples", "20", "--mesh", "1"])


@pytest.mark.parametrize("title", SNIPPETS)
def test_no_example_is_longer_than_sixty_lines(title):
    assert len(SNIPPETS[title].splitlines()) <= 60


@pytest.mark.parametrize("title", SAMPLED)
def test_examples_sample(title, run_file, request):
    if title == "A sampler":
        request.getfixturevalue("diffusion_run")
    module = run_file(title)
    name, shape = SAMPLED[title]
    samples = np.asarray(getattr(module, name))
    assert samples.shape == shape and np.isfinite(samples).all() and samples.std() > 0


def test_the_relativistic_game_covers_modes(run_file):
    module = run_file("A loss")
    assert module.state.step == 200
    spread = np.asarray(module.points).std()
    assert 0.5 < spread < 5


def test_the_logger_sees_the_loss_fall(run_file):
    losses = run_file("A logger").losses
    assert len(losses) == 2 and losses[-1] < losses[0]


def test_the_experiment_has_the_full_command_line(run_file, tmp_path, capsys):
    module = run_file("An experiment")
    run = tmp_path / "waves"
    flags = ["--steps", "20", "--log-every", "10", "--checkpoint-every", "10", "--run", str(run)]
    main(module.experiment, flags)
    main(module.experiment, ["--run", str(run), "--resume", "--steps", "40"])
    main(module.experiment, ["sample", "--run", str(run), "--n", "4"])
    main(module.experiment, ["evaluate", "--run", str(run)])
    main(module.experiment, ["report", "--run", str(run)])
    assert "own.py --run" in capsys.readouterr().out
    assert json.loads((run / "evaluation.json").read_text())["step"] == 40
    assert np.asarray(Image.open(run / "samples.png")).std() > 1

    moved = run.rename(tmp_path / "elsewhere")
    opened = jaxgen.open_run(moved)
    assert opened.step == 40 and opened.config.latent == 2 and opened.metrics[-1]["step"] == 40
    assert opened.sample(5, seed=1).shape == (5, 16, 16, 1)
    with jax.debug_key_reuse(False):
        np.testing.assert_array_equal(opened.sample(5, seed=1), opened.sample(5, seed=1))
    with pytest.raises(SystemExit):
        main(module.experiment, ["smaple", "--run", str(run)])
    assert "commands are train, sample, evaluate" in capsys.readouterr().err
