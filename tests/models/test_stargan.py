import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses import Penalty, hinge, r1, r2
from jaxgen.models import StarGAN
from jaxgen.models.stargan import exchanged
from jaxgen.networks import StarGANDiscriminator, StarGANGenerator

SHAPE = (8, 8, 1)
GROUPS, SETS = (3, 1, 2), (0, 0, 1)


def model(groups=GROUPS, sets=(), **options):
    networks = StarGANGenerator(1, width=4, blocks=1), StarGANDiscriminator(sum(groups), width=4, levels=2)
    return StarGAN(*networks, optax.adam(1e-3, 0.5), optax.adam(1e-3, 0.5), groups, sets, **options)


def batch(n=20, seed=0, joint=False):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)
    columns = [np.eye(3, dtype=np.int32)[rng.integers(0, 3, n)], rng.integers(0, 2, (n, 1)).astype(np.int32)]
    columns.append(np.eye(2, dtype=np.int32)[rng.integers(0, 2, n)])
    which = rng.integers(0, 2, n).astype(np.int32)
    if joint:
        columns = [part * (which == own)[:, None] for part, own in zip(columns, SETS, strict=True)]
    data = {"image": image, "attributes": np.concatenate(columns, 1), "set": which}
    return jax.tree.map(jnp.array, data if joint else {k: v for k, v in data.items() if k != "set"})


@pytest.mark.parametrize("joint", [False, True])
def test_critic_and_generator_steps(joint):
    gan, data = model(sets=SETS if joint else ()), batch(joint=joint)
    state = jax.jit(gan.init)(jax.random.key(0), data)
    new, metrics = jax.jit(gan.step)(state, data)
    assert int(new.discriminator.optimiser[0].count) == gan.minibatches == 5
    assert int(new.generator.optimiser[0].count) == 1
    assert all(bool(jnp.isfinite(x)) for x in metrics.values())
    # First kernel: the image, the attributes, and of several data sets the mask vector.
    kernel = new.generator.params["Conv_0"]["kernel"]
    assert kernel.shape[2] == 1 + 6 + 2 * joint


def test_targets_are_the_attributes_of_others_in_the_same_data_set():
    data = batch(200, joint=True)
    attributes, which = data["attributes"], data["set"]
    made = exchanged(jax.random.key(0), attributes, which)
    moved = 0
    for own in (0, 1):
        before, after = (np.asarray(x)[np.asarray(which) == own] for x in (attributes, made))
        assert sorted(map(tuple, before)) == sorted(map(tuple, after))
        moved += (before != after).any(1).sum()
    assert moved > 50
    again = exchanged(jax.random.key(1), attributes, which)
    assert not jnp.array_equal(made, again)


def test_classification_is_the_cross_entropy_of_the_own_data_set():
    """Two images: one of the first data set, whose groups are of three and of one, one of the second, of two."""
    gan = model(sets=SETS)
    logits = jnp.array([[1.0, 2.0, 0.0, -1.0, 5.0, 5.0], [9.0, 9.0, 9.0, 9.0, 0.5, -0.5]])
    attributes = jnp.array([[0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]])
    value = gan.classification(logits, attributes, jnp.array([0, 1]))
    first = -np.log(np.exp(2) / (np.e + np.exp(2) + 1)) - np.log(1 / (1 + np.exp(1)))
    second = -np.log(np.exp(-0.5) / (np.exp(0.5) + np.exp(-0.5)))
    assert float(value) == pytest.approx((first + second) / 2, rel=1e-5)
    # The unknown attributes teach nothing.
    gradient = jax.grad(lambda x: gan.classification(x, attributes, jnp.array([0, 1])))(logits)
    assert bool((gradient[0, 4:] == 0).all())
    assert bool((gradient[1, :4] == 0).all())


def test_the_target_of_each_domain():
    """An attribute takes the place of the others of its group, a group of one is reversed, the rest stays; of another
    data set nothing is said."""
    attributes = jnp.array([[0, 1, 0, 1, 0, 1]])
    one, several = model(), model(sets=SETS)

    def targets(gan):
        return [np.asarray(gan.with_attribute(attributes, i)[0])[0].tolist() for i in range(6)]

    assert targets(one) == [
        [1, 0, 0, 1, 0, 1],
        [0, 1, 0, 1, 0, 1],
        [0, 0, 1, 1, 0, 1],
        [0, 1, 0, 0, 0, 1],
        [0, 1, 0, 1, 1, 0],
        [0, 1, 0, 1, 0, 1],
    ]
    assert targets(several)[2:5] == [[0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]]
    assert [several.with_attribute(attributes, i)[1] for i in range(6)] == [0, 0, 0, 0, 1, 1]


def test_translation_to_all_domains_is_one_by_one():
    gan, data = model(sets=SETS), batch(joint=True)
    state = jax.jit(gan.init)(jax.random.key(0), data)
    found = jax.jit(gan.classify)(state, data["image"])
    assert bool((found[:, :3].sum(1) == 1).all() & (found[:, 4:].sum(1) == 1).all())
    rows = jax.jit(gan.translate_to_all)(state, data["image"])
    assert rows.shape == (20, 6, *SHAPE)
    translate = jax.jit(gan.translate)
    np.testing.assert_allclose(rows[:, 4], translate(state, data["image"], *gan.with_attribute(found, 4)), atol=1e-5)


def fresh(state):
    """The state for one more use of its key."""
    return state.replace(key=jax.random.clone(state.key))


class Drops(nn.Module):
    """A network that forgets a share of its image."""

    rate: float
    attributes: int = 0

    @nn.compact
    def __call__(self, image, target=None, *, train=False):
        x = nn.Dropout(self.rate, deterministic=not train)(image)
        x = nn.tanh(nn.Conv(4, (3, 3))(x))
        if self.attributes:
            return nn.Conv(1, (3, 3))(x), nn.Dense(self.attributes)(x.mean((1, 2)))
        return nn.tanh(nn.Conv(1, (3, 3))(x) + nn.Dense(1)(target)[:, None, None])


def test_dropout_in_both_players_and_a_game_and_penalties_of_ones_own():
    adam, data = optax.adam(1e-3), batch()

    def gan(rate):
        own = {"loss": hinge, "penalties": (Penalty(r1, 1.0), Penalty(r2, 1.0, every=2)), "discriminator_steps": 2}
        return StarGAN(Drops(rate), Drops(rate, 6), adam, adam, GROUPS, **own)

    state = gan(0.5).init(jax.random.key(0), data)
    step = jax.jit(gan(0.5).step)
    (one, metrics), (again, _), (none, _) = (f(fresh(state), data) for f in (step, step, jax.jit(gan(0.0).step)))
    for player in ("generator", "discriminator"):
        a, b, c = (jax.flatten_util.ravel_pytree(getattr(s, player).params)[0] for s in (one, again, none))
        assert jnp.array_equal(a, b)
        assert float(jnp.abs(a - c).max()) > 1e-5
    assert float(metrics["penalty_r1"]) > 0 and float(metrics["penalty_r2"]) > 0
    _, later = step(one, data)
    assert float(later["penalty_r1"]) > 0 and float(later["penalty_r2"]) == 0


def test_it_learns_brightness_as_an_attribute():
    """Grey squares that are dark or bright: after training the generator makes either of either."""
    adam = optax.adam(1e-3, 0.5)
    gan = dataclasses.replace(
        model((2,), discriminator_steps=2), generator_optimiser=adam, discriminator_optimiser=adam
    )
    rng = np.random.default_rng(0)

    def squares(n):
        label = rng.integers(0, 2, n)
        image = np.where(label, 200, 50)[:, None, None, None] + rng.integers(-20, 20, (n, *SHAPE))
        return {"image": jnp.array(image.astype(np.uint8)), "attributes": jnp.array(np.eye(2, dtype=np.int32)[label])}

    state = jax.jit(gan.init)(jax.random.key(0), squares(2))
    step = jax.jit(gan.step, donate_argnums=0)
    for _ in range(250):
        state, _ = step(state, squares(32))
    image = squares(64)["image"]
    means = gan.translate_to_all(state, image).mean((2, 3, 4))
    assert float(means[:, 0].max()) < 0 < float(means[:, 1].min())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"groups=\(\): at least one"):
        dataclasses.replace(model(), groups=())
    with pytest.raises(ValueError, match=r"sets=\(0, 2, 2\): the number of a data set, from 0, for each of 3 groups"):
        model(sets=(0, 2, 2))
    with pytest.raises(ValueError, match="discriminator_steps=0: at least 1"):
        model(discriminator_steps=0)
    with pytest.raises(ValueError, match=r"groups=\(3, 1\) are 4 attributes, but the data's are \(6,\)"):
        model((3, 1)).init(jax.random.key(0), batch())
