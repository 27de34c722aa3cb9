import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses import Penalty, hinge, r1, r2
from jaxgen.models import DiscoGAN
from jaxgen.models.discogan import feature_matching
from jaxgen.networks import DiscoGANDiscriminator, DiscoGANGenerator

SHAPE = (16, 16, 1)


def model(**options):
    networks = [DiscoGANGenerator(1, width=4)] * 2 + [DiscoGANDiscriminator(width=4)] * 2
    return DiscoGAN(*networks, optax.adam(1e-3, 0.5), optax.adam(1e-3, 0.5), **options)


def batch(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return {name: jnp.array(rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)) for name in "ab"}


def test_feature_matching_compares_the_means_of_batches():
    x = [jax.random.normal(jax.random.key(i), (6, 2, 2, 3)) for i in range(2)]
    assert float(feature_matching(x, x)) == 0
    assert float(feature_matching(x, [y[::-1] for y in x])) < 1e-12
    shifted = [x[0] + 2, x[1] - 1]
    assert float(feature_matching(x, shifted)) == pytest.approx(4 + 1, rel=1e-5)


def test_discriminators_step_once_and_generators_twice_on_minibatches_of_their_own():
    gan, data = model(), batch()
    assert gan.minibatches == 3
    state = jax.jit(gan.init)(jax.random.key(0), data)
    new, _ = jax.jit(gan.step)(state, data)
    for name in "ab":
        assert int(new.discriminators[name].optimiser[0].count) == 1
        assert int(new.generators[name].optimiser[0].count) == 2
    # The discriminators saw the first minibatch, which is every third example.
    changed = {name: x.at[1::3].set(0).at[2::3].set(0) for name, x in data.items()}
    other, _ = jax.jit(gan.step)(state, changed)
    assert difference(new.discriminators, other.discriminators) < 1e-6
    assert difference(new.generators, other.generators) > 1e-4


def difference(a, b):
    params = [[player.params for player in players.values()] for players in (a, b)]
    return max(float(jnp.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, params), strict=True))


@pytest.mark.parametrize("curriculum", [1, 4])
def test_the_rate_changes_where_the_curriculum_says(curriculum):
    """At rate 1 the generators do not heed the discriminators, at rate 0 they do. The generators' minibatches of the
    second step are 4 and 5."""
    gan, data = model(rates=(0.0, 1.0), curriculum=curriculum), batch()
    state = jax.jit(gan.init)(jax.random.key(0), data).replace(step=jnp.int32(1))
    step = jax.jit(gan.step)
    new, _ = step(state, data)
    louder = jax.tree.map(lambda x: 3 * x, state.discriminators)
    other, _ = step(state.replace(discriminators=louder), data)
    assert difference(new.generators, other.generators) == 0
    first = state.replace(step=jnp.int32(0))  # minibatches 1 and 2
    heeds = difference(step(first, data)[0].generators, step(first.replace(discriminators=louder), data)[0].generators)
    assert (heeds > 0) == (curriculum > 2)


class Drops(nn.Module):
    """A network that forgets a share of its image."""

    rate: float
    judges: bool

    @nn.compact
    def __call__(self, image, *, train=False):
        x = nn.Dropout(self.rate, deterministic=not train)(image)
        x = nn.Conv(1, (3, 3))(x)
        return (x.mean((1, 2, 3)), [x]) if self.judges else nn.tanh(x)


def test_dropout_in_all_players_and_penalties():
    """The dropout of a step is its own, though the state's key stays."""
    data, sgd = batch(), optax.sgd(1e-1)  # the first step of Adam would show only the signs of the gradient

    def gan(rate):
        players = [Drops(rate, False)] * 2 + [Drops(rate, True)] * 2
        return DiscoGAN(*players, sgd, sgd, loss=hinge, penalties=(Penalty(r1, 1.0), Penalty(r2, 1.0)))

    state = gan(0.5).init(jax.random.key(0), data)
    step = jax.jit(gan(0.5).step)
    (one, metrics), (again, _), (none, _) = step(state, data), step(state, data), jax.jit(gan(0.0).step)(state, data)
    later, _ = step(state.replace(step=state.step + 1), data)
    assert difference(one.generators, again.generators) == 0
    for players in ("generators", "discriminators"):
        found = getattr(one, players)
        assert difference(found, getattr(none, players)) > 1e-5
        assert difference(found, getattr(later, players)) > 1e-5
    assert {"penalty_r1_a", "penalty_r1_b", "penalty_r2_a", "penalty_r2_b"} < metrics.keys()


def test_it_learns_to_reconstruct():
    gan = dataclasses.replace(model(rates=(0.5, 0.9), curriculum=300), generator_optimiser=optax.adam(3e-3, 0.5))
    rng = np.random.default_rng(0)

    def squares(n):
        """White squares at random places; in domain b black on white."""
        image = np.zeros((2, n, *SHAPE), np.uint8)
        for one, (row, column) in zip(image.reshape(-1, *SHAPE), rng.integers(0, 10, (2 * n, 2)), strict=True):
            one[row : row + 6, column : column + 6] = 255
        return {"a": jnp.array(image[0]), "b": jnp.array(255 - image[1])}

    state = jax.jit(gan.init)(jax.random.key(0), squares(1))
    step = jax.jit(gan.step, donate_argnums=0)
    history = []
    for _ in range(120):
        state, metrics = step(state, squares(24))
        history.append(float(metrics["cycle_a"] + metrics["cycle_b"]))
    assert np.mean(history[-10:]) < 0.4 * np.mean(history[:3])
    a = squares(8)["a"]
    assert gan.cycle(state, a, through="b").shape == (8, *SHAPE)
    assert float(gan.translate(state, a, "b").mean()) > 0.3  # mostly white


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="generator_steps=0: at least 1"):
        model(generator_steps=0)
    gan = model()
    state = jax.jit(gan.init)(jax.random.key(0), batch())
    with pytest.raises(ValueError, match="batch of 8: the 3 minibatches of a step must divide it"):
        gan.step(state, batch(8))
