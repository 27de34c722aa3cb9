import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.losses import minimax
from jaxgen.models import GAN, VAE
from jaxgen.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDecoder,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
)
from jaxgen.sharding import along_data, data_mesh, place, replicated, sharded

SHAPE = (16, 16, 1)
SGD = optax.sgd(1e-2)  # Adam starts with the sign of a gradient, which rounding decides where it is 0
MODELS = {
    "vae": VAE(MLPEncoder(4, (64,)), MLPDecoder(SHAPE, (64,)), SGD),
    "gan": GAN(MLPGenerator(SHAPE, 16, (64,), 3), MLPDiscriminator((64,), 16, 16, 3), SGD, SGD, minimax, 2, 8, 3),
    "dcgan": GAN(DCGANGenerator(SHAPE, width=8), DCGANDiscriminator(width=8), SGD, SGD, latent=8),
}


def batch(n=256):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)
    return {"image": image, "label": rng.integers(0, 3, n).astype(np.int32)}


@pytest.mark.parametrize("name", MODELS)
def test_two_devices_share_the_work_and_agree_with_one(name):
    """Each of two devices does about half the arithmetic of one, noise and generator included."""
    model, results, flops = MODELS[name], [], []
    for count in (1, 2):
        mesh = data_mesh(count)
        data = place(batch(), sharded(mesh))
        with jax.set_mesh(mesh):
            state = jax.jit(lambda key: model.init(key, batch()), out_shardings=replicated(mesh))(jax.random.key(0))
            step = jax.jit(model.step).lower(state, data).compile()
            new, metrics = step(state, data)
        results.append(jax.tree.map(np.asarray, (metrics, new.replace(key=None))))
        flops.append(step.cost_analysis()["flops"])
    assert 0.4 < flops[1] / flops[0] < 0.65
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), *results)


def test_without_a_mesh_nothing_is_asked_for():
    x = jnp.arange(6.0)
    assert along_data(x) is x
    with jax.set_mesh(data_mesh(2)):
        assert not jax.jit(lambda x: along_data(2 * x))(x).sharding.is_fully_replicated
        odd = jax.jit(lambda x: along_data(2 * x))(jnp.arange(7.0))
    np.testing.assert_array_equal(odd, 2 * np.arange(7.0))
