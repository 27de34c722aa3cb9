import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses import Penalty, hinge, r1
from jaxgen.models import CycleGAN
from jaxgen.models.cyclegan import ImagePool
from jaxgen.pixels import normalise

SHAPE = (4, 4, 1)


class Affine(nn.Module):
    """A translator with a gain and an offset."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, image, *, train=False):
        image = nn.Dropout(self.dropout, deterministic=not train)(image)
        return image * self.param("gain", nn.initializers.normal(1), ()) + self.param("offset", nn.zeros, ())


class Mean(nn.Module):
    """A discriminator that sees the mean: a logit for each image."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, image, *, train=False):
        hidden = nn.tanh(nn.Dense(4)(image.reshape(len(image), -1)))
        return nn.Dense(1)(nn.Dropout(self.dropout, deterministic=not train)(hidden))


def model(**options):
    return CycleGAN(Affine(), Affine(), Mean(), Mean(), optax.sgd(0.1), optax.sgd(0.1), **options)


def batch(n=4, seed=0):
    rng = np.random.default_rng(seed)
    return {name: jnp.array(rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)) for name in "ab"}


def test_a_pool_gives_back_until_it_is_full_and_then_half_of_the_time_an_older_image():
    size, n = 50, 4000
    images = jnp.arange(n, dtype=jnp.float32).reshape(n, 1, 1, 1)
    pool, shown = jax.jit(ImagePool.query)(ImagePool.empty(size, (1, 1, 1)), jax.random.key(0), images)
    shown, held = np.asarray(shown).ravel(), np.asarray(pool.images).ravel()
    assert int(pool.count) == size
    np.testing.assert_array_equal(shown[:size], np.arange(size))
    later, now = shown[size:], np.arange(size, n)
    assert (later <= now).all()
    older = later < now
    assert abs(older.mean() - 0.5) < 4 * 0.5 / np.sqrt(n - size)
    # Each exchange takes one of 50: an image stays for 50 exchanges in the mean, 100 steps.
    ages = (now - later)[older][200:]
    assert abs(ages.mean() - 2 * size) < 4 * 2 * size / np.sqrt(len(ages))
    # What went in is shown or held, and nothing twice.
    seen = np.concatenate([later[older], held])
    assert len(set(seen)) == len(seen)
    assert set(seen) == {*range(size), *now[older]}


def test_a_pool_goes_on_from_batch_to_batch():
    """Four queries of one batch each fill it as one of all does."""
    images = jnp.arange(8, dtype=jnp.float32).reshape(8, 1, 1, 1)
    pool = ImagePool.empty(8, (1, 1, 1))
    for i in range(4):
        pool, shown = pool.query(jax.random.key(i), images[2 * i : 2 * i + 2])
        np.testing.assert_array_equal(shown, images[2 * i : 2 * i + 2])
    np.testing.assert_array_equal(pool.images, images)


def test_without_a_pool_the_discriminator_sees_the_present():
    images = jnp.ones((2, *SHAPE))
    pool, shown = ImagePool.empty(0, SHAPE).query(jax.random.key(0), images)
    assert pool.images.shape == (0, *SHAPE)
    assert jnp.array_equal(shown, images)


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_a_step_descends_the_losses_of_the_paper(identity):
    gan, data = model(identity_weight=identity, cycle_weight=7.0), batch()
    state = jax.jit(gan.init)(jax.random.key(0), data)
    old = state.replace(key=jax.random.clone(state.key))
    a, b = normalise(data["a"]), normalise(data["b"])

    def g(params, to, image):
        return Affine().apply({"params": params[to]}, image)

    def d(params, image):
        return Mean().apply({"params": params}, image)

    def generators_loss(params):
        to_a, to_b = g(params, "a", b), g(params, "b", a)
        judges = {name: player.params for name, player in old.discriminators.items()}
        adversarial = jnp.mean((d(judges["a"], to_a) - 1) ** 2) + jnp.mean((d(judges["b"], to_b) - 1) ** 2)
        cycle = jnp.mean(jnp.abs(g(params, "a", to_b) - a)) + jnp.mean(jnp.abs(g(params, "b", to_a) - b))
        same = jnp.mean(jnp.abs(g(params, "a", a) - a)) + jnp.mean(jnp.abs(g(params, "b", b) - b))
        return adversarial + 7 * (cycle + identity * same)

    def discriminator_loss(params, real, fake):
        return 0.5 * (jnp.mean((d(params, real) - 1) ** 2) + jnp.mean(d(params, fake) ** 2))

    def moved(params, gradient):
        return jax.tree.map(lambda x, g: x - 0.1 * g, params, gradient)

    new, metrics = jax.jit(gan.step)(state, data)
    params = {name: player.params for name, player in old.generators.items()}
    for name, wanted in moved(params, jax.grad(generators_loss)(params)).items():
        close(new.generators[name].params, wanted)
    for name, real, source in (("a", a, b), ("b", b, a)):
        before, fake = old.discriminators[name].params, g(params, name, source)
        close(new.discriminators[name].params, moved(before, jax.grad(discriminator_loss)(before, real, fake)))
        np.testing.assert_allclose(new.pools[name].images[:4], fake, atol=1e-6)  # what the young pool gives back
        assert int(new.pools[name].count) == 4
    assert ("identity_a" in metrics) == bool(identity)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)


def fresh(state):
    """The state for one more use of its key."""
    return state.replace(key=jax.random.clone(state.key))


def test_dropout_in_all_players():
    data, plain = batch(), model()
    dropping = dataclasses.replace(
        plain,
        generator_a=Affine(0.5),
        generator_b=Affine(0.5),
        discriminator_a=Mean(0.5),
        discriminator_b=Mean(0.5),
    )
    state = plain.init(jax.random.key(0), data)
    one, again, none = (jax.jit(gan.step)(fresh(state), data)[0] for gan in (dropping, dropping, plain))
    close(one.generators, again.generators)
    for name in "ab":
        for players in ("generators", "discriminators"):
            a, b = (jax.flatten_util.ravel_pytree(getattr(s, players)[name].params)[0] for s in (one, none))
            assert float(jnp.abs(a - b).max()) > 1e-4


def test_each_discriminator_has_the_game_and_the_penalties():
    """One step of D at rate 0.1 along ½ hinge + 3 R1, all by hand."""
    gan, data = model(loss=hinge, penalties=(Penalty(r1, 3.0),)), batch()
    state = gan.init(jax.random.key(0), data)
    new, metrics = jax.jit(gan.step)(state, data)
    a, b = normalise(data["a"]), normalise(data["b"])
    for name, real, source in (("a", a, b), ("b", b, a)):
        fake = Affine().apply({"params": state.generators[name].params}, source)

        def slope(params, real=real):
            gradient = jax.grad(lambda x: Mean().apply({"params": params}, x).sum())(real)
            return 0.5 * jnp.square(gradient).sum((1, 2, 3)).mean()

        def loss(params, real=real, fake=fake, slope=slope):
            on_real, on_fake = (Mean().apply({"params": params}, x) for x in (real, fake))
            game = jnp.maximum(0, 1 - on_real).mean() + jnp.maximum(0, 1 + on_fake).mean()
            return 0.5 * game + 3 * slope(params)

        params = state.discriminators[name].params
        wanted = jax.tree.map(lambda x, g: x - 0.1 * g, params, jax.grad(loss)(params))
        close(new.discriminators[name].params, wanted)
        assert float(metrics[f"penalty_{name}"]) == pytest.approx(float(slope(params)), rel=1e-4)


def test_it_finds_the_negative():
    """b is dark where a is bright: the affine translators end near -1, and each undoes the other."""
    adam = optax.adam(2e-2, 0.5)
    gan = dataclasses.replace(model(identity_weight=0.0), generator_optimiser=adam, discriminator_optimiser=adam)
    rng = np.random.default_rng(0)

    def halves(n):
        a = rng.integers(150, 256, (n, *SHAPE)).astype(np.uint8)
        b = 255 - rng.integers(150, 256, (n, *SHAPE)).astype(np.uint8)
        return {"a": jnp.array(a), "b": jnp.array(b)}

    state = jax.jit(gan.init)(jax.random.key(1), halves(1))
    step = jax.jit(gan.step, donate_argnums=0)
    for _ in range(300):
        state, _ = step(state, halves(16))
    a = halves(16)["a"]
    assert float(gan.translate(state, a, "b").mean()) < -0.3
    assert float(jnp.abs(gan.cycle(state, a, through="b") - normalise(a)).mean()) < 0.15


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="pool_size=-1: 0 or more"):
        model(pool_size=-1)
    data = batch()
    colour = {**data, "b": jnp.repeat(data["b"], 3, axis=-1)}
    with pytest.raises(ValueError, match="domains of 1 and 3 channels: identity_weight=0"):
        model().init(jax.random.key(0), colour)
    with pytest.raises(ValueError, match=r"generator_a makes \(4, 4, 3\), but the data's images of domain a are"):
        model(identity_weight=0.0).init(jax.random.key(0), colour)
