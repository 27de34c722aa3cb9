"""dSprites rendered: against original frames where they are, and by what the factors have to do."""

import os
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxgen.data import factor_world, load, order
from jaxgen.training import fit, members

ORIGINALS = Path(os.environ.get("JAXGEN_DSPRITES", Path(__file__).parents[3] / "shared" / "dsprites"))
world = factor_world("sprites")
SQUARE, ELLIPSE, HEART = range(3)


def original(name):
    path = ORIGINALS / f"dsprites_{name}.npz"
    if not path.exists():
        pytest.skip(f"no {path}; JAXGEN_DSPRITES says in which folder else")
    return np.load(path)


def sprite(**factors):
    """The pixels (n, 64, 64), False or True, of factors by name; those not named are in the middle."""
    middle = {"colour": 0, "shape": SQUARE, "scale": 5, "orientation": 0, "x": 15, "y": 15}
    columns = np.broadcast_arrays(*(middle | factors).values())
    return world.images(np.stack(columns, axis=-1).reshape(-1, 6))[..., 0] == 255


def centroid(images):
    """(x, y) of each image, in pixels from the upper left corner."""
    area, middle = images.sum((1, 2)), np.arange(64) + 0.5
    return np.stack([images.sum(1) @ middle / area, images.sum(2) @ middle / area], axis=-1)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
def test_original_frames_are_reproduced_pixel_by_pixel(shape):
    frames = original("gif_frames")
    factors, expected = frames["latents_classes"], frames["imgs"]
    chosen = factors[:, 1] == shape
    assert chosen.sum() >= 64
    np.testing.assert_array_equal(world.images(factors[chosen])[..., 0], 255 * expected[chosen])


def test_every_original_of_unknown_factors_is_an_image_of_the_world():
    """Each is compared with all shapes, scales and orientations at the positions that put its centroid right."""
    tiles = original("notebook_tiles")["imgs"] == 1
    kinds = np.stack(np.meshgrid([0], range(3), range(6), range(39), [15], [15], indexing="ij"), -1).reshape(-1, 6)
    offset = centroid(world.images(kinds)[..., 0] == 255) - (16 + 32 * 15 / 31)
    for tile, centre in zip(tiles, centroid(tiles), strict=True):
        factors = kinds.copy()
        factors[:, 4:] = np.clip(np.rint((centre - offset - 16) * 31 / 32), 0, 31)
        assert (world.images(factors)[..., 0] == 255 * tile).all((1, 2)).any()


def test_order_is_the_original_one():
    train, test = load("sprites"), load("sprites", "test")
    assert (len(train), len(test), train.label_names) == (737_280, 2_000, ("square", "ellipse", "heart"))
    assert world.sizes == (1, 3, 6, 40, 32, 32)
    index = np.random.default_rng(0).integers(0, len(train), 300)
    batch = train.batch(index)
    expected = [index // 245_760, index // 40_960 % 6, index // 1024 % 40, index // 32 % 32, index % 32]
    np.testing.assert_array_equal(batch["factors"], np.stack([0 * index, *expected], axis=-1))
    np.testing.assert_array_equal(batch["factors"], world.factors(index))
    np.testing.assert_array_equal(world.index(batch["factors"]), index)
    np.testing.assert_array_equal(batch["label"], batch["factors"][:, 1])
    np.testing.assert_array_equal(batch["image"], world.images(batch["factors"]))
    assert batch["image"].dtype == np.uint8 and set(np.unique(batch["image"])) == {0, 255}

    chosen = test.arrays["index"]
    assert len(np.unique(chosen)) == 2_000 and (load("sprites", "test").arrays["index"] == chosen).all()
    np.testing.assert_allclose(np.bincount(world.factors(chosen)[:, 1]) / 2_000, 1 / 3, atol=0.05)


def test_area_grows_with_the_square_of_the_scale():
    """In units of 0.15 · 64 pixels · scale: the square has 4, the ellipse π, and the heart by Green's theorem
    180π / (16 · 14.5)."""
    for shape, area in ((SQUARE, 4), (ELLIPSE, np.pi), (HEART, 180 * np.pi / (16 * 14.5))):
        for scale, value in enumerate(world.values["scale"]):
            images = world.images(world.sample(0, 300, shape=shape, scale=scale))
            assert (images > 0).sum() / 300 == pytest.approx(area * (9.6 * value) ** 2, rel=0.01)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
def test_position_moves_the_centroid_by_equal_steps(shape):
    steps = np.linspace(0, 32, 32)
    for axis, name in enumerate("xy"):
        moved = centroid(sprite(shape=shape, orientation=3, **{name: np.arange(32)}))
        np.testing.assert_allclose(moved[:, axis] - moved[0, axis], steps, atol=0.25)
        np.testing.assert_allclose(moved[:, 1 - axis], moved[0, 1 - axis], atol=0.25)
    if shape != HEART:
        np.testing.assert_allclose(moved[0], [16 + 32 * 15 / 31, 16], atol=0.25)


def test_orientation_turns_counter_clockwise_and_its_last_class_is_its_first():
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    turned = sprite(shape=ELLIPSE, orientation=np.arange(40))
    for angle, image in zip(world.values["orientation"], turned, strict=True):
        across, down = x[image] - x[image].mean(), y[image] - y[image].mean()
        axis = 0.5 * np.arctan2(-2 * (across * down).mean(), (across**2).mean() - (down**2).mean())
        assert abs(np.sin(axis - angle)) < 0.03  # the long axis, which has no direction
    for shape in (SQUARE, ELLIPSE, HEART):
        first, second, last = sprite(shape=shape, orientation=np.array([0, 1, 39]))
        assert (first == last).all() and (first != second).any()


def test_symmetries():
    """All shapes are their own mirror images, and half a turn leaves the square and the ellipse as they are."""
    factors = world.sample(0, 500)
    images = world.images(factors)
    mirrored, half_turn = factors.copy(), factors.copy()
    mirrored[:, 3:5] = [39, 31] - factors[:, 3:5]
    half_turn[:, 4:] = 31 - factors[:, 4:]
    assert (world.images(mirrored) == images[:, :, ::-1]).mean() > 0.99999
    same = (world.images(half_turn) == images[:, ::-1, ::-1]).mean((1, 2, 3))
    assert same[factors[:, 1] != HEART].mean() > 0.99999 and same[factors[:, 1] == HEART].mean() < 0.995


def test_rendered_at_other_sizes():
    factors = world.sample(0, 100)
    expected = world.images(factors)[..., 0].astype(float)
    twice = factor_world("sprites", image_size=128).images(factors)
    assert twice.shape == (100, 128, 128, 1)
    assert np.abs(twice.reshape(100, 64, 2, 64, 2).mean((2, 4)) - expected).mean() < 255 * 0.01
    small = load("sprites", image_size=20).batch(world.index(factors))["image"]
    assert small.shape == (100, 20, 20, 1)
    assert small.mean() == pytest.approx(expected.mean(), rel=0.03)


def test_colour_is_a_further_factor():
    colour = factor_world("sprites-colour")
    assert (colour.sizes, len(load("sprites-colour"))) == ((7, 3, 6, 40, 32, 32), 7 * 737_280)
    factors = colour.sample(0, 64, x=5)
    images = colour.images(factors)
    colourless = factors * (np.arange(6) > 0)
    grey = world.images(colourless)
    rgb = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}
    rgb |= {"cyan": (0, 1, 1), "magenta": (1, 0, 1), "yellow": (1, 1, 0)}
    for image, silhouette, one in zip(images, grey, factors, strict=True):
        np.testing.assert_array_equal(image, silhouette * np.array(rgb[colour.values["colour"][one[0]]], np.uint8))
    luma = factor_world("sprites-colour", channels=1).images(factors)
    assert luma.shape == grey.shape and len(np.unique(luma)) == 8
    white = factor_world("sprites", channels=3).images(colourless)
    np.testing.assert_array_equal(white, grey.repeat(3, axis=-1))


def test_values_classes_and_sampling():
    assert world.classes(shape="heart", scale=0.7, x=1) == {"shape": 2, "scale": 2, "x": 31}
    factors = world.sample(3, 4000, shape=1)
    np.testing.assert_array_equal(factors, world.sample(3, 4000, shape=1))
    assert (factors[:, 1] == 1).all()
    for column, size in zip(factors.T, world.sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        if size > 3:  # uniform: chi-squared within four standard deviations
            assert ((counts - 4000 / size) ** 2 / (4000 / size)).sum() < size + 4 * np.sqrt(2 * size)
    again = world.sample(4, 4000, orientation=factors[:, 3])  # one factor shared, the others drawn anew
    np.testing.assert_array_equal(again[:, 3], factors[:, 3])
    assert (again[:, 5] == factors[:, 5]).mean() < 0.06


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: world.images(np.array([[0, 3, 0, 0, 0, 0]])), "sprites: the factor shape is 3; allowed is 0 to 2"),
        (lambda: world.index(np.array([0, 0, 0, -1, 0, 0])), "the factor orientation is -1; allowed is 0 to 39"),
        (lambda: world.index(np.zeros((4, 5), int)), r"the 6 classes of colour, shape, .*; given .* shape \(4, 5\)"),
        (lambda: world.factors(737_280), "index is 737280; allowed is 0 to 737279"),
        (lambda: world.sample(0, 8, hue=1), "no factor 'hue'; it has colour, shape, scale, orientation, x, y"),
        (lambda: world.sample(0, 8, scale=6), "the factor scale is 6; allowed is 0 to 5"),
        (lambda: world.classes(scale=0.75), "scale has no value 0.75; allowed are 0.5, 0.6, 0.7, 0.8, 0.9, 1.0"),
        (lambda: world.classes(shape="star"), "shape has no value 'star'; allowed are square, ellipse, heart"),
        (
            lambda: load("sprites", "validation"),
            "sprites has no split 'validation'; allowed are 'train', 'test' and",
        ),
        (
            lambda: factor_world("digits"),
            "the factors of 'digits' are not known; those of sprites, .* are",
        ),
        (lambda: factor_world("tfds:mnist"), "the factors of tfds:mnist are not known; those of dsprites, .* are"),
        (lambda: factor_world("sprites", image_size=0), "the image size is 0"),
    ],
)
def test_mistakes_say_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@dataclass(frozen=True)
class Recorder:
    """A model that learns its batches by heart."""

    @struct.dataclass
    class State:
        step: jax.Array
        seen: dict[str, jax.Array]

    def init(self, key, batch):
        return self.State(jnp.int32(0), {name: jnp.zeros((8, *x.shape), x.dtype) for name, x in batch.items()})

    def step(self, state, batch):
        seen = {name: all_.at[state.step].set(batch[name]) for name, all_ in state.seen.items()}
        return self.State(state.step + 1, seen), {"loss": batch["image"].mean()}


def test_rendered_inside_the_compiled_loop_of_fit(tmp_path):
    """Each member of a population, resumed too, sees the batches of `order` pixel by pixel."""
    data = load("sprites", image_size=40)
    with jax.debug_key_reuse(False):  # it sees reuse in every vmap of a scan
        for steps in (3, 8):
            settings = {"batch_size": 16, "log_every": 4, "run": tmp_path, "resume": True, "progress": False}
            state = fit(Recorder(), data, steps=steps, seed=[4, 5], **settings)
    for seed, member in zip((4, 5), members(state), strict=True):
        for i in range(8):
            expected = data.batch(order(seed, i, 16, len(data)))
            jax.tree.map(np.testing.assert_array_equal, {k: x[i] for k, x in member.seen.items()}, expected)


def test_as_accelerators_fill_them_sprites_are_the_same(monkeypatch):
    """All edges at once in place of one after the other: the branch that no CPU takes."""
    world = factor_world("sprites", image_size=48)
    factors = world.factors(np.arange(0, len(world), 9973))
    expected = np.asarray(world.render(factors))
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *edges, cpu, default: default(*edges))
    found = np.asarray(factor_world("sprites", image_size=48).render(factors))
    assert expected.any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(found, expected)
