import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.errors import InvalidRngError

from jaxgen.data import load
from jaxgen.models import GAN, VAE
from jaxgen.networks import from_nnx
from jaxgen.networks.calls import apply_network, init_network
from jaxgen.training import fit

SHAPE = (8, 8, 1)
digits = load("digits")


class Encoder(nnx.Module):
    """Image to mean and log variance, with batch normalisation and dropout."""

    def __init__(self, inputs: int, latent: int = 3, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(inputs, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(16, 2 * latent, rngs=rngs)

    def __call__(self, image, label=None):
        x = nnx.relu(self.norm(self.hidden(image.reshape(len(image), -1))))
        return jnp.split(self.last(self.dropout(x)), 2, axis=-1)


class Generator(nnx.Module):
    """Latent to an image, with batch normalisation."""

    def __init__(self, latent: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(latent, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.last = nnx.Linear(16, 64, rngs=rngs)

    def __call__(self, latent, label=None):
        return jnp.tanh(self.last(nnx.relu(self.norm(self.hidden(latent))))).reshape(-1, *SHAPE)


class Discriminator(nnx.Module):
    """Image to a logit, with dropout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(64, 16, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, image, label=None):
        return self.last(self.dropout(nnx.relu(self.hidden(image.reshape(len(image), -1)))))[:, 0]


class Masks(nnx.Module):
    """The masks of two layers of dropout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.first, self.second = nnx.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.first(jnp.ones_like(x)), self.second(jnp.ones_like(x))


def vae():
    return VAE(from_nnx(Encoder, 64, latent=3), from_nnx(Generator, 3), optax.adam(1e-3))


def gan():
    return GAN(from_nnx(Generator, 5), from_nnx(Discriminator), optax.adam(1e-3), optax.adam(1e-3), latent=5, ema=0.9)


def variables(network, *inputs):
    params, statistics = init_network(network, jax.random.key(0), *inputs)
    return {"params": params, **statistics}


def test_network_is_the_module_in_evaluation_and_in_training():
    """Output and averages equal those of the module itself with the same parameters."""
    network, x = from_nnx(Generator, 5), jax.random.normal(jax.random.key(1), (7, 5))
    given = variables(network, x)
    module = Generator(5, rngs=nnx.Rngs(0))
    for name in ("hidden", "last"):
        getattr(module, name).kernel[...] = given["params"][name]["kernel"]

    found, statistics = apply_network(network, given, x)
    module.eval()
    np.testing.assert_allclose(found, module(x), rtol=1e-6)
    np.testing.assert_array_equal(statistics["batch_stats"]["norm"]["mean"], np.zeros(16))

    found, statistics = apply_network(network, given, x, key=jax.random.key(2))
    module.train()
    np.testing.assert_allclose(found, module(x), rtol=1e-6)
    np.testing.assert_allclose(statistics["batch_stats"]["norm"]["mean"], module.norm.mean[...], rtol=1e-6)
    assert float(jnp.abs(module.norm.mean[...]).max()) > 1e-3


def test_dropout_follows_its_key_and_every_layer_has_a_mask_of_its_own():
    network, x = from_nnx(Masks), jnp.ones((8, 8))
    given = variables(network, x)
    assert not jax.tree.leaves(given)  # keys are no part of the state
    (first, second), _ = apply_network(network, given, x, key=jax.random.key(1))
    (again, _), _ = apply_network(network, given, x, key=jax.random.key(1))
    (other, _), _ = apply_network(network, given, x, key=jax.random.key(2))
    assert set(np.unique(first)) == {0.0, 2.0}
    np.testing.assert_array_equal(first, again)
    assert (first != second).any() and (first != other).any()
    np.testing.assert_array_equal(apply_network(network, given, x)[0][0], x)
    with pytest.raises(InvalidRngError):
        network.apply(given, x, train=True)


def test_arguments_of_the_constructor_are_fields():
    assert from_nnx(Encoder, 64, latent=5).latent == 5
    assert from_nnx(Encoder, 64).latent == 3
    assert from_nnx(Encoder, 64, 7).latent == 7
    with pytest.raises(AttributeError, match="classes"):
        _ = from_nnx(Encoder, 64).classes


def test_names_of_leaves_are_those_of_the_module():
    class Stack(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.Sequential(nnx.Linear(2, 2, rngs=rngs), nnx.Linear(2, 1, rngs=rngs))

        def __call__(self, x):
            return self.layers(x)

    x = jnp.ones((1, 2))
    given = variables(from_nnx(Stack), x)
    assert list(given["params"]["layers"]["layers"]) == ["0", "1"]
    last = given["params"]["layers"]["layers"]["1"]
    last["bias"] += 3
    base = variables(from_nnx(Stack), x)
    moved, before = (apply_network(from_nnx(Stack), values, x)[0] for values in (given, base))
    np.testing.assert_allclose(moved - before, 3, rtol=1e-5)


@pytest.mark.parametrize("model", [vae(), gan()], ids=["VAE", "GAN"])
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(model, tmp_path):
    settings = {"batch_size": 32, "seed": 5, "log_every": 5, "checkpoint_every": 5, "progress": False}
    whole = fit(model, digits, steps=10, **settings)
    fit(model, digits, steps=5, run=tmp_path, **settings)
    resumed = fit(model, digits, steps=10, run=tmp_path, resume=True, **settings)
    jax.tree.map(np.testing.assert_array_equal, *(s.replace(key=jax.random.key_data(s.key)) for s in (whole, resumed)))
    statistics = whole.statistics["encoder"] if isinstance(model, VAE) else whole.generator.statistics
    assert float(jnp.abs(statistics["batch_stats"]["norm"]["mean"]).max()) > 1e-3
    assert model.sample(whole, jax.random.key(0), 3).shape == (3, *SHAPE)


def test_vae_learns():
    model, batch = vae(), {"image": jnp.array(digits.arrays["image"][:128])}
    bound = jax.jit(lambda state: model.elbo(state, jax.random.key(1), batch).elbo.mean())
    before = jax.jit(model.init)(jax.random.key(0), batch)
    after = jax.jit(lambda state: jax.lax.fori_loop(0, 200, lambda _, s: model.step(s, batch)[0], state))(before)
    assert float(bound(after)) > float(bound(before)) + 5


def test_mistakes_are_named_on_one_line():
    with pytest.raises(ValueError, match=r"from_nnx: got an instance of Discriminator; give the class .*[^\n]*$"):
        from_nnx(Discriminator(rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"from_nnx: the arguments do not fit Encoder: .*'inputs'"):
        from_nnx(Encoder)
