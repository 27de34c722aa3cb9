import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.models import InfoGAN


class Passes(nn.Module):
    """An 'image' that is the latent itself."""

    @nn.compact
    def __call__(self, latent, label=None, *, train=False):
        return latent + self.param("shift", nn.initializers.zeros, latent.shape[-1:])


class Judge(nn.Module):
    """A logit, and Q linear in the example."""

    outputs: int

    @nn.compact
    def __call__(self, image, label=None, *, train=False):
        return nn.Dense(1)(image)[:, 0], nn.Dense(self.outputs, name="q")(image)


def model(categorical=(3, 2), continuous=2, **options):
    outputs = sum(categorical) + 2 * continuous
    rate = optax.adam(0.02, 0.5)
    return InfoGAN(
        Passes(), Judge(outputs), rate, rate, latent=4, categorical=categorical, continuous=continuous, **options
    )


def data(gan, n=64):
    width = gan.latent + sum(gan.categorical) + gan.continuous
    return {"image": jax.random.normal(jax.random.key(9), (n, width))}


def test_latent_is_noise_one_hot_categories_and_continuous_codes():
    gan = model()
    latent = np.asarray(gan.prior(jax.random.key(0), 2000))
    assert latent.shape == (2000, 4 + 3 + 2 + 2)
    noise, first, second, continuous = np.split(latent, [4, 7, 9], axis=1)
    for uniform in (noise, continuous):
        assert uniform.min() >= -1 and uniform.max() <= 1 and abs(uniform.var() - 1 / 3) < 0.02
    for one_hot in (first, second):
        assert (np.sort(one_hot, axis=1)[:, -1] == 1).all() and (one_hot.sum(1) == 1).all()
        np.testing.assert_allclose(one_hot.mean(0), 1 / one_hot.shape[1], atol=0.04)


def test_chosen_codes_are_in_the_sample_and_can_be_inferred():
    gan = model()
    state = gan.init(jax.random.key(0), data(gan))
    codes = gan.codes(jax.random.key(1), 5)
    image = gan.sample(state, jax.random.key(2), 5, codes)
    kernel = jnp.zeros((11, 9)).at[4:9, :5].set(10 * jnp.eye(5)).at[9:, 5:7].set(jnp.eye(2))  # Q that reads the latent
    params = state.discriminator.params | {"q": {"kernel": kernel, "bias": jnp.zeros(9)}}
    found = gan.infer(state.replace(discriminator=state.discriminator.replace(params=params)), image)
    np.testing.assert_array_equal(found.categorical, codes.categorical)
    np.testing.assert_allclose(found.continuous, codes.continuous, atol=1e-6)


def test_bound_on_the_information_is_its_formula_and_at_most_the_entropy():
    """Q blind: L_I = 0 for categories. Q certain: L_I = H(c). Continuous codes against SciPy's normal density."""
    gan = model(continuous=0)
    latent = gan.prior(jax.random.key(0), 100)
    assert gan.entropy == pytest.approx(math.log(6))

    def bound(q):
        return float(gan.extra_loss(latent, (None, q))[1]["information"])

    assert bound(jnp.zeros((100, 5))) == pytest.approx(0, abs=1e-5)
    assert bound(100 * latent[:, 4:]) == pytest.approx(math.log(6), rel=1e-5)
    for seed in range(5):
        assert bound(jax.random.normal(jax.random.key(seed), (100, 5))) < math.log(6)

    from scipy.stats import norm

    mean, log_scale = jnp.full((100, 2), 0.3), jnp.full((100, 2), -0.4)
    for given, scale in ((None, math.exp(-0.4)), (1.0, 1.0), (0.7, 0.7)):
        gan = model(categorical=(), continuous=2, continuous_scale=given)
        latent = gan.prior(jax.random.key(0), 100)
        loss, metrics = gan.extra_loss(latent, (None, jnp.concatenate([mean, log_scale], axis=1)))
        expected = norm.logpdf(np.asarray(latent)[:, 4:], 0.3, scale).sum(1).mean() + 2 * math.log(2)
        assert float(metrics["information"]) == pytest.approx(expected, rel=1e-5)
        assert float(loss) == pytest.approx(-expected, rel=1e-5)


def test_both_players_raise_the_information():
    """On data like its samples D has nothing to tell, so what is learnt is Q: the bound comes near the entropy."""
    gan = model(categorical=(3,), continuous=0)
    examples = {"image": gan.prior(jax.random.key(5), 64)}
    state = gan.init(jax.random.key(0), examples)
    _, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: gan.step(s, examples), s, None, 600))(state)
    information = np.asarray(metrics["information"])
    assert information[0] < 0.3 and information[-50:].mean() > 0.8 * math.log(3)


def test_weight_zero_leaves_the_plain_game():
    gan = model(information_weight=0.0)
    state = gan.init(jax.random.key(0), data(gan))
    after, _ = gan.step(state, data(gan))
    np.testing.assert_array_equal(after.discriminator.params["q"]["kernel"], state.discriminator.params["q"]["kernel"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packing": 2}, "neither packing nor labels"),
        ({"classes": 10}, "neither packing nor labels"),
        ({"continuous_scale": 0.0}, "a positive number or None"),
    ],
)
def test_what_q_cannot_read_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)
