"""What the command `train` does besides what the tests of the experiments show."""

import json
import shutil

import jax
import numpy as np
import pytest
from support import SHORT, fails

import jaxgen
from experiments import gan, vae
from jaxgen.cli import main

TINY = [*SHORT, "--hidden", "4", "--latent", "2", "--importance-samples", "0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of a VAE."""
    folder = tmp_path_factory.mktemp("train") / "run"
    main(vae.experiment, [*TINY, "--image-size", "8", "--run", str(folder)])
    return folder


def test_a_run_starts_from_the_parameters_of_another(run, tmp_path):
    tuned = tmp_path / "tuned"
    flags = ["--image-size", "8", "--learning-rate", "1e-12", "--init-from", str(run), "--run", str(tuned)]
    main(vae.experiment, [*TINY, *flags])
    before, after = jaxgen.open_run(run).state, jaxgen.open_run(tuned).state
    assert int(after.step) == 12
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), before.params, after.params)
    moments = jax.tree.leaves(jax.tree.map(lambda x, y: np.abs(x - y).max(), before.optimiser, after.optimiser))
    assert max(moments) > 0  # its optimiser began afresh, and saw other gradients


def test_parameters_that_do_not_fit_are_named(run, capsys, tmp_path):
    new = ["--run", tmp_path / "new", "--init-from", run]
    message = fails(capsys, vae, [*TINY, "--image-size", "8", "--hidden", "5", *new])
    assert "other shapes than this run's: .params['decoder']" in message and "more" in message
    assert "a population cannot start from one run" in fails(capsys, vae, [*TINY, "--seeds", "2", *new])
    assert "choose one" in fails(capsys, vae, [*TINY, "--resume", "--run", run, "--init-from", run])
    assert not (tmp_path / "new").exists()


def test_flags_stand_on_the_settings_of_the_run(run, capsys, tmp_path):
    """Also those that the preset alone would not allow."""
    assert "hidden is 4, not 5" in fails(capsys, vae, ["--run", run, "--resume", "--hidden", "5"])
    assert "hidden is 4, not 500" in fails(capsys, vae, ["digits", "--run", run, "--resume"])


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "diagnose"])
def test_every_command_chooses_its_devices_by_the_config(command, tmp_path, monkeypatch):
    seen = []

    class Stop(Exception):
        pass

    def use_devices(config):
        seen.append(config.width)
        raise Stop

    folder = tmp_path / "run"
    ring = ["ring", "--width", "4", "--steps", "2", "--batch-size", "8", "--run", str(folder)]
    main(gan.experiment, ring)
    monkeypatch.setattr("jaxgen.cli.opened.use_devices", use_devices)
    monkeypatch.setattr("jaxgen.cli.evaluate.use_devices", use_devices)
    with pytest.raises(Stop):
        main(gan.experiment, [command, "--run", str(folder)])
    assert seen == [4]


def test_what_an_earlier_version_counted_in_steps_stays_at_its_step(run, tmp_path):
    """Also where the run goes on to another number of steps than it was begun for."""
    old = tmp_path / "old"
    shutil.copytree(run, old)
    record = json.loads((old / "config.json").read_text())
    del record["config"]["annealing"]
    record["config"]["annealing_steps"] = 6
    (old / "config.json").write_text(json.dumps(record))
    assert jaxgen.open_run(old).config.annealing == 6 / 12
    main(vae.experiment, ["--run", str(old), "--resume", "--steps", "16"])
    assert jaxgen.open_run(old).config.annealing == 6 / 16
    main(vae.experiment, ["--run", str(old), "--resume", "--steps", "18"])  # the version of today keeps the share
    assert jaxgen.open_run(old).config.annealing == 6 / 16
