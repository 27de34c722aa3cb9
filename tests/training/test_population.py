import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.data import StreamedDataset, load, mirror
from jaxgen.models import GAN, VAE
from jaxgen.networks import DCGANDiscriminator, DCGANGenerator, MLPDecoder, MLPEncoder
from jaxgen.training import NonFinite, data_mesh, fit, members, read_metrics, summary

digits = dataclasses.replace(load("digits"), augment=mirror)
adam = optax.adam(1e-3, 0.5)
MODELS = {
    "vae": VAE(MLPEncoder(3, (16,)), MLPDecoder((8, 8, 1), (16,)), adam),
    "dcgan": GAN(DCGANGenerator((8, 8, 1), 4), DCGANDiscriminator(4), adam, adam, latent=4, discriminator_steps=2),
}
SWEEPS = {  # a model of the hyperparameters, and the values of two members
    "vae": (lambda values: dataclasses.replace(MODELS["vae"], **values), {"beta": [1.0, 8.0]}),
    "dcgan": (
        lambda values: dataclasses.replace(MODELS["dcgan"], generator_optimiser=optax.adam(values["rate"], 0.5)),
        {"rate": [1e-3, 1e-2]},
    ),
}
SETTINGS = {"batch_size": 16, "log_every": 5, "checkpoint_every": 5, "progress": False}


@pytest.fixture(autouse=True)
def key_reuse_is_seen_in_every_vmap_of_a_scan():
    with jax.debug_key_reuse(False):
        yield


def differences(a, b):
    floats = [(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True) if x.dtype == np.float32]
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in floats)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_every_member_is_the_single_run_of_its_seed(name, devices, tmp_path):
    model = MODELS[name]
    together = fit(model, digits, steps=10, seed=range(3, 7), mesh=data_mesh(devices), run=tmp_path, **SETTINGS)
    singles = [fit(model, digits, steps=10, seed=seed, mesh=data_mesh(1), **SETTINGS) for seed in range(3, 7)]
    for member, single in zip(members(together), singles, strict=True):
        assert differences(member, single) < 1e-5
    assert differences(singles[0], singles[1]) > 1e-2


def test_population_is_resumed_bit_for_bit_and_logs_means_and_deviations(tmp_path):
    model, seeds = MODELS["vae"], [5, 1]

    def evaluate(state):
        return {"step_squared": float(state.step) ** 2}

    options = SETTINGS | {"seed": seeds, "evaluate": evaluate, "eval_every": 5, "mesh": data_mesh(2)}
    whole = fit(model, digits, steps=15, run=tmp_path / "whole", **options)
    fit(model, digits, steps=5, run=tmp_path / "parts", **options)
    parts = fit(model, digits, steps=15, run=tmp_path / "parts", resume=True, **options)
    assert differences(whole, parts) == 0
    alone = [tmp_path / str(seed) for seed in seeds]
    for seed, run in zip(seeds, alone, strict=True):
        fit(model, digits, steps=15, run=run, **(SETTINGS | {"seed": seed, "mesh": data_mesh(1)}))
    losses = np.array([[r["loss"] for r in read_metrics(run)] for run in alone])
    records = [r for r in read_metrics(tmp_path / "parts") if "loss" in r]
    np.testing.assert_allclose([r["loss"] for r in records], losses.mean(0), rtol=1e-4)
    np.testing.assert_allclose([r["loss_std"] for r in records], losses.std(0, ddof=1), rtol=1e-2)
    assert {"step_squared": 225.0, "step_squared_std": 0.0}.items() <= read_metrics(tmp_path / "parts")[-1].items()


@pytest.mark.parametrize("name", SWEEPS)
def test_every_member_of_a_sweep_is_the_single_run_of_its_values(name, tmp_path):
    model_of, values = SWEEPS[name]
    population = {"seed": [4, 4], "sweep": {k: jnp.array(v) for k, v in values.items()}, "mesh": data_mesh(2)}
    fit(model_of, digits, steps=5, run=tmp_path, **population, **SETTINGS)
    together = fit(model_of, digits, steps=10, run=tmp_path, resume=True, **population, **SETTINGS)
    models = [model_of({k: v[i] for k, v in values.items()}) for i in range(2)]
    singles = [fit(model, digits, steps=10, seed=4, mesh=data_mesh(1), **SETTINGS) for model in models]
    for member, single in zip(members(together), singles, strict=True):
        assert differences(member, single) < 1e-5
    assert differences(*singles) > 1e-3


def test_what_a_population_cannot_be_is_refused():
    with pytest.raises(ValueError, match="population 3: it must be a multiple of the 2 devices"):
        fit(MODELS["vae"], digits, steps=1, seed=range(3), mesh=data_mesh(2), **SETTINGS)

    model_of = SWEEPS["vae"][0]
    for seed, values in ((range(2), np.ones(3)), (range(2), np.float32(1)), (1, np.ones(1))):
        with pytest.raises(ValueError, match=r"sweep of shape \(.*\): a value for each of several seeds is needed"):
            fit(model_of, digits, steps=1, seed=seed, sweep=values, mesh=data_mesh(1), **SETTINGS)

    class Source:
        def __len__(self):
            return 100

        def __getitem__(self, index):
            raise AssertionError("nothing needs to be read")

    streamed = StreamedDataset(Source(), digits.example, name="a stream")
    with pytest.raises(ValueError, match="a stream is streamed"):
        fit(MODELS["vae"], streamed, steps=1, seed=range(2), **SETTINGS)


def test_member_that_diverges_is_named():
    model = dataclasses.replace(MODELS["vae"], optimiser=optax.sgd(1e30))
    with pytest.raises(NonFinite, match="member 0 is"):
        fit(model, digits, steps=10, seed=range(2), **SETTINGS)


def test_summary():
    assert summary([{"fid": 3.0}]) == {"fid": 3.0}
    found = summary([{"fid": 1.0}, {"fid": 2.0}, {"fid": 6.0}])
    assert found == {"fid": 3.0, "fid_std": pytest.approx(7**0.5)}
