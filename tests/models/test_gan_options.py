"""What the zoo adds to the game: penalties, unrolling, packing, larger minibatches of the generator."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from small_gans import Shift, again, batch, convolutional, dense, largest_difference

from jaxgen import losses
from jaxgen.models import GAN
from jaxgen.models.augmentation import adaptive, diff_augment
from jaxgen.models.gan import pack
from jaxgen.networks import DCGANDiscriminator, DCGANGenerator


class Bend(nn.Module):
    """D(x) = tanh(x w) v: smooth, so finite differences see its slope."""

    @nn.compact
    def __call__(self, image, label=None, *, train=False):
        start = nn.initializers.normal(1.5)
        return nn.Dense(1, use_bias=False, kernel_init=start)(nn.tanh(nn.Dense(4, kernel_init=start)(image)))[:, 0]


def small(**options):
    optimisers = optax.sgd(1.0), optax.adam(0.05, 0.5, eps_root=1e-8)
    return GAN(Shift(), Bend(), *optimisers, latent=2, **options)


points = {"image": jax.random.normal(jax.random.key(7), (6, 2)) + 2}


@pytest.mark.parametrize("loss", [losses.minimax, losses.non_saturating, losses.wasserstein])
@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.usefixtures("x64")
def test_unrolled_gradient_equals_finite_differences(loss, unroll):
    """d/da of the loss at the end of K steps of D's real optimiser, each along its own gradient, taken by hand."""
    gan = small(loss=loss, unroll=unroll)
    data = {"image": points["image"].astype(jnp.float64)}
    state = jax.tree.map(
        lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, gan.init(jax.random.key(0), data)
    )
    key = jax.random.key(3)
    parameters = {"generator": state.generator.params, "discriminator": state.discriminator.params}
    field = gan.vector_field(state, data, jax.random.clone(key))(parameters)
    latent = gan.prior(jax.random.split(key)[0], len(data["image"]))

    def judged(params, shift):
        return (gan.discriminator.apply({"params": params}, x) for x in (data["image"], latent + shift))

    @jax.jit
    def value(shift):
        params, moments = state.discriminator.params, state.discriminator.optimiser
        for _ in range(unroll):
            gradient = jax.grad(lambda params: loss.discriminator(*judged(params, shift)))(params)
            updates, moments = gan.discriminator_optimiser.update(gradient, moments, params)
            params = optax.apply_updates(params, updates)
        return -loss.discriminator(*judged(params, shift)) if loss.zero_sum else loss.generator(*judged(params, shift))

    shift = state.generator.params["shift"]
    for axis in range(2):
        step = 1e-5 * jnp.eye(2)[axis]
        slope = float((value(shift + step) - value(shift - step)) / 2e-5)
        assert -float(field["generator"]["shift"][axis]) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_unrolling_changes_the_generator_and_not_the_discriminator():
    plain, unrolled = small(), small(unroll=2)
    state = plain.init(jax.random.key(0), points)
    (a, metrics), (b, _) = plain.step(again(state), points), unrolled.step(again(state), points)
    assert largest_difference(a.discriminator, b.discriminator) == 0
    assert largest_difference(a.generator.params, b.generator.params) > 1e-4
    assert float(metrics["generator_gradient_norm"]) > 0


def test_no_unrolling_is_the_plain_gan_bit_for_bit():
    a, b = (gan.step(gan.init(jax.random.key(0), points), points)[0] for gan in (small(), small(unroll=0)))
    assert largest_difference(a.replace(key=0), b.replace(key=0)) == 0


def test_packed_discriminator_sees_neighbours_side_by_side():
    gan = dense(packing=2)
    image = jnp.arange(4 * 64, dtype=jnp.float32).reshape(4, 8, 8, 1)
    packed = pack(image, 2)
    assert packed.shape == (2, 8, 8, 2)
    np.testing.assert_array_equal(packed[1, ..., 1], image[3, ..., 0])
    np.testing.assert_array_equal(pack(jnp.arange(12.0).reshape(6, 2), 3)[0], jnp.arange(6.0))
    data = batch(8)
    state = gan.init(jax.random.key(0), data)
    assert gan.discriminate(state, data["image"]).shape == (4,)
    after, metrics = gan.step(again(state), data)
    assert bool(jnp.isfinite(metrics["generator_loss"]))
    shuffled = {"image": data["image"][jnp.array([2, 1, 0, 3, 4, 5, 6, 7])]}  # other neighbours, other judgements
    assert largest_difference(after.discriminator.params, gan.step(again(state), shuffled)[0].discriminator.params) > 0


@pytest.mark.parametrize(
    "function",
    [
        losses.gradient_penalty,
        losses.one_sided_gradient_penalty,
        losses.r1,
        losses.r2,
        losses.dragan,
        losses.consistency,
    ],
)
def test_penalty_enters_the_discriminator_s_loss_with_its_weight(function):
    """The step along the gradient of loss + λ penalty is that of the loss plus λ times that of the penalty."""
    gan = dataclasses.replace(small(), discriminator_optimiser=optax.sgd(1.0))
    state = gan.init(jax.random.key(0), points)

    def moved(weight):
        after, metrics = dataclasses.replace(gan, penalties=(losses.Penalty(function, weight),)).step(
            again(state), points
        )
        assert float(metrics["penalty"]) > 0
        return after.discriminator.params

    none, one, two = (moved(weight) for weight in (0.0, 1.0, 2.0))
    jax.tree.map(lambda a, b, c: np.testing.assert_allclose(c - a, 2 * (b - a), rtol=1e-2, atol=1e-5), none, one, two)
    assert largest_difference(none, one) > 1e-5


def test_gradient_penalty_trains_a_convolutional_critic_in_a_compiled_loop():
    adam = optax.adam(1e-3, 0.5)
    gan = GAN(
        DCGANGenerator((8, 8, 1), width=4),
        DCGANDiscriminator(width=4),
        adam,
        adam,
        loss=losses.wasserstein,
        latent=4,
        discriminator_steps=2,
        penalties=(losses.Penalty(losses.gradient_penalty),),
    )
    data = batch(8)
    state = gan.init(jax.random.key(0), data)

    def one(state, _):
        return gan.step(state, data)

    _, metrics = jax.jit(lambda s: jax.lax.scan(one, s, None, 60))(state)
    penalty = np.asarray(metrics["penalty"])
    assert np.isfinite(penalty).all() and penalty[-10:].mean() < 0.5 * penalty[:3].mean()


class Counted(Shift):
    """Notes the sizes of the batches that it makes."""

    def __call__(self, latent, label=None, *, train=False):
        sizes.append(len(latent))
        return super().__call__(latent, label, train=train)


sizes = []


def test_generator_has_a_larger_minibatch_of_its_own():
    gan = dataclasses.replace(small(generator_batch=3, discriminator_steps=2), generator=Counted())
    state = gan.init(jax.random.key(0), points)
    sizes.clear()
    jax.eval_shape(gan.step, state, points)
    assert sizes == [3, 9]  # two minibatches of 3 in one traced loop, then one of 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unroll": -1}, "unroll=-1: at least 0"),
        ({"packing": 0}, "packing=0: at least 1"),
        ({"generator_batch": 0}, "at least 1"),
        ({"packing": 2, "classes": 3}, "one example at a time"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dense(**options)


def test_packing_that_does_not_divide_the_minibatch_is_refused():
    gan = dense(packing=3)
    with pytest.raises(ValueError, match="minibatch of 8: packing=3 must divide it"):
        gan.step(gan.init(jax.random.key(0), batch(8)), batch(8))


@pytest.mark.parametrize(
    "options", [{}, {"generator_batch": 2}, {"loss": losses.wasserstein, "discriminator_steps": 2}]
)
def test_accumulation_equals_the_whole_minibatch(options):
    whole, parts = dense(classes=3, **options), dense(classes=3, accumulation=4, **options)
    sgd = {"generator_optimiser": optax.sgd(1.0), "discriminator_optimiser": optax.sgd(1.0)}
    whole, parts = dataclasses.replace(whole, **sgd), dataclasses.replace(parts, **sgd)
    data = batch(16)
    state = whole.init(jax.random.key(0), data)
    (a, metrics), (b, of_parts) = whole.step(again(state), data), parts.step(again(state), data)
    assert largest_difference(a.generator.params, state.generator.params) > 1e-4
    assert largest_difference((a.generator, a.discriminator), (b.generator, b.discriminator)) < 1e-5
    for name, value in metrics.items():
        assert float(of_parts[name]) == pytest.approx(float(value), abs=1e-4), name


def test_accumulation_must_divide_the_minibatch():
    gan = dense(accumulation=3)
    with pytest.raises(ValueError, match="batch of 8: the 3"):
        gan.step(gan.init(jax.random.key(0), batch(8)), batch(8))


def test_truncated_latents():
    """Redrawn, not clipped: within ±t, of the density of the truncated normal, whose variance at t = 1 is 0.291."""
    latent = dense().prior(jax.random.key(0), 5000, 1.0)
    assert float(jnp.abs(latent).max()) <= 1
    assert float((jnp.abs(latent) > 0.999).mean()) < 0.01
    assert float(latent.var()) == pytest.approx(0.2911, abs=0.005)
    gan, data = dense(), batch(8)
    state = gan.init(jax.random.key(0), data)
    spread, less = (
        gan.sample(state, jax.random.key(1), 64, truncation=truncation).std(0).mean() for truncation in (None, 0.01)
    )
    assert float(less) < 0.1 * float(spread)
    with pytest.raises(ValueError, match=r"truncation=-1\.0: a positive number or None"):
        gan.sample(state, jax.random.key(1), 4, truncation=-1.0)


def test_standing_statistics_are_those_of_samples():
    """The first layer's: mean and variance over 16 minibatches of 64 latents, within sampling error of the exact."""
    gan, data = convolutional(ema=0.9), batch(8)
    state = gan.init(jax.random.key(0), data)
    standing = gan.standing_statistics(state, jax.random.key(1))
    assert standing.generator is state.generator
    found = standing.average["batch_stats"]["BatchNorm_0"]
    kernel = state.average["params"]["Dense_0"]["kernel"]  # of z ~ N(0, I), so the variance is that of its columns
    expected = jnp.square(kernel).sum(0).reshape(4, 4, -1).mean((0, 1))
    np.testing.assert_allclose(found["var"], expected, rtol=0.2)
    np.testing.assert_allclose(found["mean"], 0, atol=0.2 * float(jnp.sqrt(expected.max())))
    images = gan.sample(standing, jax.random.key(2), 64)
    assert bool((images != gan.sample(state, jax.random.key(2), 64)).any())
    plain = convolutional().standing_statistics(state.replace(average=None), jax.random.key(1))  # the weights are equal
    assert largest_difference(plain.generator.statistics["batch_stats"], standing.average["batch_stats"]) < 1e-6
    truncated = gan.standing_statistics(state, jax.random.key(1), truncation=0.1)
    less = truncated.average["batch_stats"]["BatchNorm_0"]["var"]  # of units that are nearly uniform in ±0.1
    np.testing.assert_allclose(less, expected * 0.1**2 / 3, rtol=0.2)
    with pytest.raises(ValueError, match="no batch normalisation"):
        dense().standing_statistics(dense().init(jax.random.key(0), data), jax.random.key(1))


@pytest.mark.parametrize("augmentation", [diff_augment, adaptive])
def test_augmentation_changes_what_the_discriminator_sees(augmentation):
    plain, augmented = convolutional(), convolutional(augmentation=augmentation)
    data = batch(8)
    state = augmented.init(jax.random.key(0), data)
    if augmentation.adaptive:
        after, metrics = augmented.step(again(state), data)
        expected = max(0.0, (1 if float(metrics["discriminator_sign"]) > 0.6 else -1) * 8 / 500_000)
        assert float(after.probability) == float(metrics["augmentation_probability"]) == pytest.approx(expected)
        certain = state.replace(probability=jnp.float32(1))
    else:
        assert state.probability is None
        certain = state
    one, other = augmented.step(again(certain), data)[0], plain.step(again(state), data)[0]
    assert largest_difference(one.discriminator.params, other.discriminator.params) > 1e-4
    assert largest_difference(one.generator.params, other.generator.params) > 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulation": 0}, "at least 1"),
        ({"accumulation": 2, "unroll": 1}, "accumulation must be 1"),
    ],
)
def test_wrong_options_of_scale_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dense(**options)


def test_points_are_not_augmented():
    with pytest.raises(ValueError, match="images are needed, but"):
        small(augmentation=diff_augment).init(jax.random.key(0), points)
