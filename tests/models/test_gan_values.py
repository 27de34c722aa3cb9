"""Games, penalties and networks of one's own in a GAN: what a user gives as values, and what a subclass overrides."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from small_gans import Linear, Shift, again, largest_difference

from jaxgen.losses import AdversarialLoss, Penalty, r1, r2
from jaxgen.models import GAN

points = {"image": jax.random.normal(jax.random.key(7), (6, 2)) + 2}
relativistic = AdversarialLoss(
    discriminator=lambda real, fake: jax.nn.softplus(fake - real).mean(),
    generator=lambda real, fake: jax.nn.softplus(real - fake).mean(),
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(**options):
    """G(z) = z + a and D(x) = w · x, each by SGD at rate 1."""
    return GAN(Shift(), Linear(), optax.sgd(1.0), optax.sgd(1.0), latent=2, **options)


def weights(state):
    return np.asarray(state.discriminator.params["Dense_0"]["kernel"], np.float64)[:, 0]


def latents(gan, state, n=6):
    """The latents of D's and of G's step."""
    _, discriminator_key, generator_key = jax.random.split(jax.random.clone(state.key), 3)
    keys = jax.random.split(jax.random.split(discriminator_key, 1)[0])[0], jax.random.split(generator_key)[0]
    return (np.asarray(gan.prior(key, n), np.float64) for key in keys)


def test_a_relativistic_pairing_loss_with_r1_and_r2_moves_both_players_as_derived_by_hand():
    """With s = softplus' = sigmoid, x paired with G(z): ∂L_D/∂w = E[s(w·(G(z) - x)) (G(z) - x)] + (γ₁ + γ₂) w, and
    ∂L_G/∂a = -E[s(w·(x - G(z)))] w at the new w: with real logits of 0 it would be another."""
    gan = linear(loss=relativistic, penalties=(Penalty(r1, 0.25), Penalty(r2, 0.125)))
    state = gan.init(jax.random.key(0), points)
    after, metrics = jax.jit(gan.step)(again(state), points)
    first, second = latents(gan, state)
    x, w, a = np.asarray(points["image"], np.float64), weights(state), 0.5
    fake = first + a
    gradient = (sigmoid((fake - x) @ w)[:, None] * (fake - x)).mean(0) + (0.25 + 0.125) * w
    np.testing.assert_allclose(weights(after), w - gradient, rtol=1e-4, atol=1e-6)
    w = w - gradient
    moved = a + sigmoid((x - (second + a)) @ w).mean() * w
    np.testing.assert_allclose(after.generator.params["shift"], moved, rtol=1e-4, atol=1e-6)
    for name in ("penalty_r1", "penalty_r2"):
        assert float(metrics[name]) == pytest.approx((weights(state) ** 2).sum() / 2, rel=1e-5)


def test_each_real_logit_meets_the_fake_ones_of_a_larger_minibatch_of_the_generator():
    gan = linear(loss=relativistic, generator_batch=2)
    state = gan.init(jax.random.key(0), points)
    after, _ = jax.jit(gan.step)(again(state), points)
    _, second = latents(gan, state, 12)
    w, x = weights(after), np.tile(np.asarray(points["image"], np.float64), (2, 1))
    moved = 0.5 + sigmoid((x - (second + 0.5)) @ w).mean() * w
    np.testing.assert_allclose(after.generator.params["shift"], moved, rtol=1e-4, atol=1e-6)
    cut, _ = jax.jit(dataclasses.replace(gan, accumulation=3).step)(again(state), points)
    assert bool(jnp.isfinite(cut.generator.params["shift"]).all())


nothing = AdversarialLoss(lambda real, fake: 0.0 * real.mean(), lambda real, fake: 0.0 * fake.mean())


@pytest.mark.parametrize("every", [1, 3])
def test_a_lazy_penalty_shrinks_a_linear_critic_k_times_as_much_at_every_kth_step(every):
    """R1 of w · x has the gradient γ w: SGD multiplies w by 1 - γ at each step, and by 1 - k γ at every k-th."""
    gan = linear(loss=nothing, penalties=(Penalty(r1, 0.1, every),))
    state = gan.init(jax.random.key(0), points)
    after, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: gan.step(s, points), s, None, 6))(again(state))
    np.testing.assert_allclose(weights(after), weights(state) * (1 - 0.1 * every) ** (6 // every), rtol=1e-5)
    due = np.asarray(metrics["penalty"]) > 0
    np.testing.assert_array_equal(due, np.arange(6) % every == 0)


def test_the_weight_of_a_penalty_follows_the_schedule_of_the_step():
    gan = linear(loss=nothing, penalties=(Penalty(r1, lambda step: 0.1 * step),))
    state = gan.init(jax.random.key(0), points)
    after, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: gan.step(s, points), s, None, 4))(again(state))
    np.testing.assert_allclose(weights(after), weights(state) * 1.0 * 0.9 * 0.8 * 0.7, rtol=1e-5)


class Drops(nn.Module):
    """A network of one layer with dropout before it."""

    outputs: int
    rate: float

    @nn.compact
    def __call__(self, x, label=None, *, train=False):
        x = nn.Dense(self.outputs)(nn.Dropout(self.rate, deterministic=not train)(nn.tanh(nn.Dense(16)(x))))
        return x[:, 0] if self.outputs == 1 else x


@pytest.mark.parametrize(
    "options", [{}, {"unroll": 2}, {"accumulation": 2}, {"penalties": (Penalty(r1, 0.1), Penalty(r2, 0.1, 2))}]
)
def test_dropout_in_both_players(options):
    """Other keys drop other units, and sampling drops none."""

    def gan(rate):
        optimiser = optax.adam(1e-2, eps_root=1e-8)
        return GAN(Drops(2, rate), Drops(1, rate), optimiser, optimiser, latent=2, **options)

    state = gan(0.5).init(jax.random.key(0), points)
    one, two, none = (jax.jit(gan(rate).step)(again(state), points)[0] for rate in (0.5, 0.5, 0.0))
    assert largest_difference(one.generator.params, two.generator.params) == 0
    for player in ("generator", "discriminator"):
        a, b = (getattr(s, player).params for s in (one, none))
        assert largest_difference(a, b) > 1e-5
    latent = jax.random.normal(jax.random.key(1), (4, 2))
    np.testing.assert_array_equal(gan(0.5).generate(one, latent), gan(0.0).generate(one, latent))


class TwoHeads(nn.Module):
    """A logit, and a guess of the latent."""

    @nn.compact
    def __call__(self, image, label=None, *, train=False):
        hidden = nn.tanh(nn.Dense(16)(image))
        return {"judgement": nn.Dense(1)(hidden)[:, 0], "latent": nn.Dense(2)(hidden)}


class Readable(GAN):
    """A GAN whose discriminator reads the latent off the samples."""

    def logits(self, output):
        return output["judgement"]

    def extra_loss(self, latent, output):
        error = jnp.square(latent - output["latent"]).mean()
        return error, {"error": error}


def test_a_discriminator_with_several_heads_by_a_subclass():
    adam = optax.adam(1e-2, 0.5)
    gan = Readable(Shift(), TwoHeads(), adam, adam, latent=2, penalties=(Penalty(r1, 0.1),))
    state = gan.init(jax.random.key(0), points)
    assert gan.discriminate(state, points["image"]).shape == (6,)
    _, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: gan.step(s, points), s, None, 300))(state)
    error = np.asarray(metrics["error"])
    assert error[-20:].mean() < 0.1 * error[:5].mean()


def test_the_vector_field_is_minus_the_gradients_of_both_players():
    """At w and a, on the same latents: -∂L_D/∂w and -∂L_G/∂a of the relativistic loss with R1."""
    gan = linear(loss=relativistic, penalties=(Penalty(r1, 0.25),))
    state = gan.init(jax.random.key(0), points)
    key = jax.random.key(5)
    field = gan.vector_field(state, points, jax.random.clone(key))
    w, a = np.array([0.7, -0.3]), np.array([0.2, 0.4])
    found = field(
        {
            "generator": {"shift": jnp.asarray(a, jnp.float32)},
            "discriminator": {"Dense_0": {"kernel": jnp.asarray(w[:, None], jnp.float32)}},
        }
    )
    x = np.asarray(points["image"], np.float64)
    fake = np.asarray(gan.prior(jax.random.split(key)[0], 6), np.float64) + a
    of_w = -(sigmoid((fake - x) @ w)[:, None] * (fake - x)).mean(0) - 0.25 * w
    np.testing.assert_allclose(found["discriminator"]["Dense_0"]["kernel"][:, 0], of_w, rtol=1e-4)
    np.testing.assert_allclose(found["generator"]["shift"], sigmoid((x - fake) @ w).mean() * w, rtol=1e-4)


class Silent(nn.Module):
    """A linear network without the parameter `train`."""

    outputs: int

    @nn.compact
    def __call__(self, x, label=None):
        return nn.Dense(self.outputs)(x).squeeze(-1) if self.outputs == 1 else nn.Dense(self.outputs)(x)


class Told(Silent):
    """The same network with the parameter."""

    @nn.compact
    def __call__(self, x, label=None, *, train):
        return super().__call__(x, label)


def test_networks_with_and_without_the_parameter_train_play_the_same_game():
    data, found = {"image": jax.random.normal(jax.random.key(3), (8, 2))}, []
    for network in (Silent, Told):
        gan = GAN(network(2), network(1), optax.sgd(0.1), optax.sgd(0.1), latent=3, unroll=1)
        state, metrics = jax.jit(gan.step)(jax.jit(gan.init)(jax.random.key(0), data), data)
        images = gan.sample(state, jax.random.key(1), 4)
        found.append((metrics, images, gan.discriminate(state, images)))
    jax.tree.map(np.testing.assert_array_equal, *found)
