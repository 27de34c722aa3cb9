"""What the tests of networks share: shapes and parameter counts without computing, and checks of all players."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def shapes():
    """The shapes of a network's output and variables, which nothing computes."""

    def output_and_variables(network, *inputs):
        return jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)

    return output_and_variables


@pytest.fixture
def count(shapes):
    """The number of parameters of a network."""

    def parameters(network, *inputs):
        return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes(network, *inputs)[1]["params"]))

    return parameters


@pytest.fixture
def drawn():
    """Variables of a network's shapes: random parameters, all else 1. (Initialising would be slow to compile.)"""

    def draw(network, *inputs):
        variables = jax.eval_shape(network.init, jax.random.key(0), *inputs)
        random = np.random.default_rng(0)
        params = jax.tree.map(lambda x: jnp.asarray(0.3 * random.normal(size=x.shape), x.dtype), variables["params"])
        return jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), variables) | {"params": params}

    return draw


@pytest.fixture
def initial():
    """One parameter as initialised; the compiler drops the others."""

    def leaf(network, x, *path):
        def find(key):
            params = network.init(key, x)["params"]
            for name in path:
                params = params[name]
            return params

        return jax.jit(find)(jax.random.key(0))

    return leaf


@pytest.fixture
def check_players(shapes):
    """A check that a generator makes images of this shape, and that its discriminator gives one float32 logit."""

    def check(generator, discriminator, shape, *label):
        assert shapes(generator, jnp.zeros((2, 7)), *label)[0].shape == (2, *shape)
        logit = shapes(discriminator, jnp.zeros((2, *shape)), *label)[0]
        assert logit.shape == (2,) and logit.dtype == jnp.float32

    return check


@pytest.fixture
def check_label(drawn):
    """A check that the label changes the output of a network, for every example."""

    def check(network, x):
        zeros, ones = jnp.zeros(len(x), jnp.int32), jnp.ones(len(x), jnp.int32)
        variables, apply = drawn(network, x, zeros), jax.jit(network.apply)
        difference = jnp.abs(apply(variables, x, zeros) - apply(variables, x, ones))
        assert float(difference.reshape(len(x), -1).max(1).min()) > 1e-4

    return check


@pytest.fixture
def check_bfloat16(shapes):
    """A check that a network of `dtype=jnp.bfloat16` computes its products in it, and that its output and variables are
    float32 all the same."""

    def check(network, *inputs, products="conv|conv_transpose"):
        y, variables = shapes(network, *inputs)
        assert {leaf.dtype for leaf in jax.tree.leaves((y, variables))} == {jnp.dtype("float32")}
        program = str(jax.make_jaxpr(network.apply)(variables, *inputs))
        assert set(re.findall(rf":(\w+)\[\S*\] = (?:{products})\[", program)) == {"bf16"}

    return check


@pytest.fixture
def check_refused(shapes):
    """A check that a network raises a ValueError that names the image's size."""

    def check(network, size, message, *inputs):
        with pytest.raises(ValueError, match=f"image size {size[0]}×{size[1]}: .*{message}"):
            shapes(network, *inputs)

    return check


@pytest.fixture
def normalised():
    """Parameters of a flow moved away from their start and then normalised by data, the data, and labels."""

    def case(flow, scale=0.1, dtype=jnp.float32):
        x = jax.random.normal(jax.random.key(1), (8, *flow.shape), dtype)
        label = jnp.arange(8, dtype=jnp.int32) % 3 if flow.classes else None
        params = jax.jit(partial(flow.init, mutable=["params"]))({"params": jax.random.key(0)}, x, label)["params"]
        random = np.random.default_rng(0)
        params = jax.tree.map(lambda x: jnp.float32(x + scale * random.normal(size=x.shape)), params)
        return jax.jit(lambda x: flow.apply({"params": params}, x, label, mutable=["params"])[1])(x), x, label

    return case


@pytest.fixture
def check_flow(enable_x64, normalised):
    """A check that a flow and its inverse undo each other, to 1e-10 in double and 1e-5 in single precision, and that
    the log-determinant is that of the Jacobian."""

    def check(flow, scale=0.1):
        with enable_x64(True):
            variables, x, label = normalised(flow, scale, float)

            @jax.jit
            def to_and_fro(x):
                z, log_det = flow.apply(variables, x, label)
                return z, log_det, *flow.apply(variables, z, label, True)

            def latent(x):
                return flow.apply(variables, x.reshape(1, *flow.shape), None if label is None else label[:1])[0][0]

            z, log_det, back, inverse_log_det = to_and_fro(x)
            assert z.shape == (8, math.prod(flow.shape)) and z.dtype == jnp.float64
            np.testing.assert_allclose(back, x, atol=1e-10)
            np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-10)
            jacobian = np.asarray(jax.jit(jax.jacfwd(latent))(x[0].reshape(-1)))
            np.testing.assert_allclose(log_det[0], np.linalg.slogdet(jacobian)[1], atol=1e-6)
        single, _, back, _ = to_and_fro(x.astype(jnp.float32))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, z, atol=1e-3)
        np.testing.assert_allclose(back, x, atol=1e-5)

    return check
