"""The U-Net of diffusion models: the paper's parameter count, and what reaches every output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import DiffusionUNet

time = jnp.array([0.0, 500.0])
image = jnp.asarray(np.random.default_rng(1).normal(size=(2, 7, 5, 3)), jnp.float32)
label = jnp.array([0, 2])


def test_parameters_are_those_of_the_paper(count):
    assert count(DiffusionUNet(), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1)) == 35_746_307


def test_time_label_and_all_pixels_reach_every_output(drawn):
    """At odd sides, where what is enlarged is cut."""
    network = DiffusionUNet(4, (1, 2), blocks=1, classes=2, outputs=2)
    variables, apply = drawn(network, image, time, label), jax.jit(network.apply)
    made = apply(variables, image, time, label)
    assert made.shape == (2, 7, 5, 6) and made.dtype == jnp.float32
    assert (jnp.abs(made - apply(variables, image, time + 100, label)).max((1, 2, 3)) > 1e-3).all()
    assert (jnp.abs(made - apply(variables, image, time, label - jnp.array([0, 1])))[1] > 0).any()
    corner = jax.grad(lambda x: apply(variables, x, time, label)[0, 0, 0, 0])(image)
    assert (jnp.abs(corner[0]) > 0).all() and (corner[1] == 0).all()  # by the attention in the middle


def test_it_begins_with_zeros_and_drops_in_training_only(drawn):
    network = DiffusionUNet(4, (1,), blocks=1, dropout=0.5)
    variables = jax.jit(network.init)(jax.random.key(0), image, time)
    assert (network.apply(variables, image, time) == 0).all()
    variables = drawn(network, image, time)

    def dropped(seed):
        return network.apply(variables, image, time, train=True, rngs={"dropout": jax.random.key(seed)})

    assert (dropped(0) != dropped(1)).any() and (network.apply(variables, image, time) != dropped(0)).any()


def test_width_is_refused():
    with pytest.raises(ValueError, match="width 6: a multiple of 4"):
        DiffusionUNet(6).init(jax.random.key(0), image, time)
