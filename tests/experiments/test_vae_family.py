"""The VAE scripts' objectives by their presets and flags."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from support import fails

from experiments import beta_vae, vae
from jaxgen.data import Dataset
from jaxgen.losses import DIP, BetaTC
from jaxgen.models import FactorVAE

SPRITES = {"image": jax.ShapeDtypeStruct((64, 64, 1), np.uint8)}
MNIST = {"image": jax.ShapeDtypeStruct((28, 28, 1), np.uint8)}


def step_of(module, config, example):
    """The model, and the metrics of a step traced without data or arithmetic."""
    arrays = {name: np.broadcast_to(np.zeros((), one.dtype), (10**6, *one.shape)) for name, one in example.items()}
    model = module.experiment.build(config, Dataset(arrays))
    n = config.batch_size * getattr(model, "minibatches", 1)
    spec = {name: jax.ShapeDtypeStruct((n, *one.shape), one.dtype) for name, one in example.items()}
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    _, metrics = jax.eval_shape(model.step, state, spec)
    return model, state, set(metrics)


@pytest.mark.parametrize("name", ["higgins", "burgess", "tcvae", "factor", "dip1", "dip2"])
def test_presets_of_sprites_are_the_papers(name):
    config = beta_vae.presets[name]
    model, state, metrics = step_of(beta_vae, config, SPRITES)
    assert sum(x.size for x in jax.tree.leaves(state.params)) == 690_517
    assert (config.steps, config.batch_size, config.learning_rate, config.latent) == (300_000, 64, 1e-4, 10)
    assert {"elbo", "kl", "log_likelihood", "loss"} <= metrics
    match name:
        case "higgins":
            assert model.beta == 4 and model.regulariser is None and model.capacity is None
        case "burgess":
            assert model.beta == 1000 and "capacity" in metrics
            assert [float(model.capacity(step)) for step in (0, 50_000, 100_000, 300_000)] == [0, 12.5, 25, 25]
        case "tcvae":
            assert model.regulariser == BetaTC(10**6, 6.0) and model.beta == 1 and "total_correlation" in metrics
        case "factor":
            assert isinstance(model, FactorVAE) and model.gamma == 35 and model.beta == 1
            assert sum(x.size for x in jax.tree.leaves(state.discriminator.params)) == 5_018_002
            assert {"total_correlation", "discriminator_loss"} <= metrics
        case "dip1":
            assert model.regulariser == DIP(10.0, 100.0, False) and "covariance_off_diagonal" in metrics
        case "dip2":
            assert model.regulariser == DIP(10.0, 10.0, True)


def test_preset_of_iwae_is_that_of_the_likelihood_with_50_samples():
    config = vae.presets["iwae"]
    assert config == replace(vae.presets["nll"], objective_samples=50)
    model, state, metrics = step_of(vae, config, MNIST)
    assert model.objective_samples == 50 and {"bound", "elbo"} <= metrics
    assert sum(x.size for x in jax.tree.leaves(state.params)) == 676_864


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        (beta_vae, ["--regulariser", "tc"], "--regulariser tc: its KL term weighs 1"),
        (beta_vae, ["tcvae", "--capacity", "5"], "--regulariser tc: its KL term weighs 1"),
        (beta_vae, ["--regulariser-weight", "3"], "choose a --regulariser of tc, factor, dip1, dip2"),
        (beta_vae, ["tcvae", "--regulariser-weight", "-1"], "--regulariser-weight -1.0: at least 0"),
        (beta_vae, ["--capacity", "nan"], "--capacity nan: at least 0"),
        (
            beta_vae,
            ["--capacity", "5", "--capacity-growth", "2"],
            "--capacity-growth 2.0: a share of the steps, 0 to 1",
        ),
        (beta_vae, ["--capacity-steps", "0"], "unknown argument --capacity-steps"),
        (vae, ["--annealing", "-1"], "--annealing -1.0: a share of the steps, 0 to 1"),
        (vae, ["--capacity", "5"], "unknown argument --capacity"),
        (
            beta_vae,
            ["--network", "beta_vae", "--image-size", "24"],
            "image size 24×24: 4 halvings need sides that are multiples of 16",
        ),
        (beta_vae, ["--capacity", "5", "--objective-samples", "5"], "objective_samples=5: "),
        (beta_vae, ["--beta", "1", "--regulariser", "factor", "--objective-samples", "2"], "objective_samples=2: "),
        (beta_vae, ["--regulariser", "gan"], "--regulariser"),
        (beta_vae, ["--factor-points", "50"], "--factor-points 50: at least 100"),
        (vae, ["--objective-samples", "0"], "objective_samples=0: at least 1"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, module, args, message):
    assert message in fails(capsys, module, [*args, "--run", tmp_path / "run"])
    assert not (tmp_path / "run").exists()
