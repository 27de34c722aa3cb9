import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from jaxtyping import config

from jaxgen import models
from jaxgen.models import VAE, Diffusion, ProgressiveGAN, SinGAN, StarGAN
from jaxgen.networks import MLPDecoder, MLPEncoder
from jaxgen.networks.calls import apply_network, check_network, init_network, output_shape, train_flag


class Net(nn.Module):
    """Dropout before batch normalisation."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.5)(x, deterministic=not train)
        return nn.BatchNorm(momentum=0.9)(x, use_running_average=not train)


def test_a_network_is_told_of_training_where_it_asks():
    assert train_flag(Net(), True) == {"train": True}
    assert train_flag(nn.Dense(3), True) == {}


def test_training_draws_and_updates_and_evaluation_does_neither():
    x = jnp.full((64, 4), 3.0)
    params, statistics = init_network(Net(), jax.random.key(0), x)
    assert set(params) == {"BatchNorm_0"} and set(statistics) == {"batch_stats"}
    variables = {"params": params, **statistics}

    same, kept = apply_network(Net(), variables, x)
    np.testing.assert_allclose(same, x, rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, kept, statistics)

    output, moved = apply_network(Net(), variables, x, key=jax.random.key(1))
    dropped = nn.Dropout(0.5).apply({}, x, deterministic=False, rngs={"dropout": jax.random.key(1)})
    assert len(np.unique(np.asarray(output[:, 0]).round(3))) == 2  # where dropped is 0, and where it is 6
    assert set(np.unique(dropped)) == {0.0, 6.0}
    mean = moved["batch_stats"]["BatchNorm_0"]["mean"]
    assert (jnp.abs(mean - 0.3) < 0.15).all() and (mean != 0).all()  # a tenth of the way to about 3


def test_a_network_without_the_flag_is_called_as_it_is():
    x = jnp.ones((2, 3))
    params, statistics = init_network(nn.Dense(4), jax.random.key(0), x)
    assert statistics == {}
    expected = nn.Dense(4).apply({"params": params}, x)
    for key in (None, jax.random.key(1)):
        output, statistics = apply_network(nn.Dense(4), {"params": params}, x, key=key)
        np.testing.assert_array_equal(output, expected)
        assert statistics == {}


def test_the_output_shape_is_of_one_example_and_computes_nothing():
    x = jax.random.normal(jax.random.key(0), (5, 3))
    params, _ = init_network(nn.Dense(4), jax.random.key(1), x)
    assert output_shape(nn.Dense(4), {"params": params}, x) == (4,)
    huge = jax.ShapeDtypeStruct((10**9, 3), jnp.float32)
    jax.eval_shape(lambda x: np.testing.assert_equal(output_shape(nn.Dense(4), {"params": params}, x), (4,)), huge)


@pytest.fixture
def unchecked():
    """Types are not checked, as for users, whose mistakes the library names itself."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


class Bare(nnx.Module):
    """An NNX module that no bridge was built to."""

    latent, shape, classes = 3, (8, 8, 1), 0


def fields_of(cls, *types):
    return [field.name for field in dataclasses.fields(cls) if field.type in types]


MODELS = [getattr(models, name) for name in models.__all__]
OPTIONS = {Diffusion: {"shape": (8, 8, 1)}, StarGAN: {"groups": (1,)}, SinGAN: {"shape": (32, 32, 1)}}
PLACES = [(cls, name) for cls in MODELS for name in fields_of(cls, nn.Module, nn.Module | None)]


@pytest.mark.parametrize("bare", [Bare, Bare()], ids=["class", "instance"])
@pytest.mark.parametrize(("cls", "name"), PLACES)
def test_a_bare_nnx_module_is_named_by_every_model(cls, name, bare, unchecked):
    networks = dict.fromkeys(fields_of(cls, nn.Module), Net())
    optimisers = dict.fromkeys(fields_of(cls, optax.GradientTransformation), optax.adam(1e-3))
    with pytest.raises(ValueError, match=rf"^{name}: Bare is a Flax NNX module; .*jaxgen.from_nnx\(Bare, \.\.\.\)"):
        cls(**{**networks, **optimisers, **OPTIONS.get(cls, {}), name: bare})


def test_all_models_but_the_one_around_a_gan_hold_networks():
    assert {cls for cls, _ in PLACES} == set(MODELS) - {ProgressiveGAN}


def test_a_class_in_place_of_an_instance_is_named(unchecked):
    with pytest.raises(ValueError, match=r"^encoder: MLPEncoder is a class; give an instance"):
        VAE(MLPEncoder, MLPDecoder((8, 8, 1)), optax.adam(1e-3))
    check_network("encoder", MLPEncoder())
