"""`sprites` and `sprites-colour`: dSprites (Matthey et al. 2017), rendered on the device from its factors.

A sprite is a polygon, filled as graphics hardware fills it. In units of 0.15 image sides times the scale it is

- square: 4 corners at (±1, ±1)
- ellipse: 100 corners at (1.33 cos t, sin t / 1.33)
- heart: 150 corners at (sin³ t, (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) / 14.5 + 0.15), the notch upwards

It is turned counter-clockwise about the origin by the orientation. The origin is put at the position (x to the right, y
downwards, both from 1/4 to 3/4 of the image), and the corners are rounded to 1/256 pixel. A pixel is white where its
centre is inside. These rules were found by fitting to original frames, and they reproduce all available ones pixel by
pixel.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxgen.data.dataset import Dataset
from jaxgen.data.factors import FactorWorld
from jaxgen.data.images import resize
from jaxgen.data.options import Options
from jaxgen.data.ordering import order
from jaxgen.data.splits import check_split

__all__ = ["load", "world"]

SIZE = 64  # pixels a side
TEST = 2_000
SHAPES = ("square", "ellipse", "heart")
COLOURS: dict[str, dict[str, int | tuple[int, int, int]]] = {
    "sprites": {"white": 255},
    "sprites-colour": {
        "red": (255, 0, 0),
        "green": (0, 255, 0),
        "blue": (0, 0, 255),
        "cyan": (0, 255, 255),
        "magenta": (255, 0, 255),
        "yellow": (255, 255, 0),
        "white": (255, 255, 255),
    },
}
UNIT = 0.15  # image sides
CORNERS = 150
SUBPIXELS = 256


def world(name: str, options: Options) -> FactorWorld:
    """Returns the factors and the renderer of `sprites` (737,280 combinations, in the original's order) or of
    `sprites-colour`.

    The factors are colour (1 or 7), shape (3), scale (6, from 0.5 to 1), orientation (40, from 0 to 2π, so that the
    last equals the first), x and y (32 each, from 0 to 1).
    """
    values = {
        "colour": np.array(list(COLOURS[name])),
        "shape": np.array(SHAPES),
        "scale": np.linspace(0.5, 1, 6),
        "orientation": np.linspace(0, 2 * np.pi, 40),
        "x": np.linspace(0, 1, 32),
        "y": np.linspace(0, 1, 32),
    }
    pixels = np.array(list(COLOURS[name].values()), np.uint8)
    colours = resize(pixels.reshape(len(pixels), 1, 1, -1), channels=options.channels)
    size = options.image_size or SIZE
    outlines = _outlines()
    turns = values["orientation"] % (2 * np.pi)

    @jax.jit
    def render(factors):
        colour, shape, scale, orientation, x, y = jnp.moveaxis(jnp.asarray(factors), -1, 0)

        def look_up(table, classes):
            return jnp.asarray(table, jnp.float32)[classes][:, None]

        corners = UNIT * size * look_up(values["scale"], scale)[..., None] * jnp.asarray(outlines, jnp.float32)[shape]
        right, down = corners[..., 0], corners[..., 1]
        cos, sin = look_up(np.cos(turns), orientation), look_up(np.sin(turns), orientation)
        inside = _fill(
            cos * right + sin * down + size * look_up(0.25 + 0.5 * values["x"], x),
            cos * down - sin * right + size * look_up(0.25 + 0.5 * values["y"], y),
            size,
        )
        return jnp.where(inside[..., None], jnp.asarray(colours)[colour], jnp.uint8(0))

    return FactorWorld(name, values, render)


def load(name: str, _: str, split: str, options: Options) -> Dataset:
    """Returns `image` (uint8, 0 or 255; RGB for `sprites-colour`), `label` (the shape) and `factors` (int32, the class
    of each factor).

    dSprites has no test split: "train" and "all" are the whole world in the original's order, and "test" is 2,000
    examples of it, chosen at random but the same in every run. `image_size` renders at that size.
    """
    check_split(split, name)
    sprites = world(name, options)

    @jax.jit
    def render(rows):
        factors = jnp.stack(jnp.unravel_index(rows["index"], sprites.sizes), axis=-1).astype(jnp.int32)
        return {"image": sprites.render(factors), "label": factors[:, 1], "factors": factors}

    size = len(sprites)
    # No run can have this seed, so the test examples are not those with which a run begins.
    index = order(2**32, 0, TEST, size) if split == "test" else np.arange(size, dtype=np.int32)
    return Dataset({"index": index}, SHAPES, name=name, render=render)


def _outlines() -> Float[np.ndarray, "3 150 2"]:
    """The corners (right, down) of the three shapes; shapes with fewer corners repeat their last one."""
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    t = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ellipse = np.stack([1.33 * np.cos(t), np.sin(t) / 1.33], axis=-1)
    t = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    up = (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 14.5 + 0.15
    heart = np.stack([np.sin(t) ** 3, -up], axis=-1)
    return np.stack([np.pad(one, ((0, CORNERS - len(one)), (0, 0)), "edge") for one in (square, ellipse, heart)])


def _fill(x: Float[Array, "n k"], y: Float[Array, "n k"], size: int) -> Bool[Array, "n size size"]:
    """Which pixel centres lie inside the polygon of the corners (x, y): those with an odd number of edges to the right.

    A row of pixels is a string of bits in words of 32. An edge that crosses the row flips all bits left of it.
    """
    x, y = (jnp.round(SUBPIXELS * corners.T) / SUBPIXELS for corners in (x, y))
    x_next, y_next = jnp.roll(x, -1, axis=0), jnp.roll(y, -1, axis=0)
    slope = (x_next - x) / jnp.where(y_next == y, 1, y_next - y)
    words = -(-size // 32)
    row = jnp.repeat(jnp.arange(size, dtype=jnp.float32) + 0.5, words)
    first = jnp.tile(32 * jnp.arange(words, dtype=jnp.int32), size)  # column of each word

    def left_of(edge):  # the bits of the pixels on its left, in the rows that it crosses
        x, y, y_next, slope = (one[..., None] for one in edge)
        crosses = (y > row) != (y_next > row)
        left = jnp.ceil(x + (row - y) * slope - 0.5).astype(jnp.int32)  # the number of centres on its left
        ones = (jnp.uint32(1) << jnp.clip(left - first, 0, 32).astype(jnp.uint32)) - 1
        return jnp.where(crosses, ones, jnp.uint32(0))

    def one_by_one(*edges):  # on the CPU `at_once` is seven times slower at a batch of 1,024
        return jax.lax.scan(lambda bits, edge: (bits ^ left_of(edge), None), none, edges, unroll=10)[0]

    def at_once(*edges):  # on accelerators a loop of small steps mostly waits
        return jax.lax.reduce(left_of(edges), jnp.uint32(0), jax.lax.bitwise_xor, (0,))

    n = x.shape[1]
    none = jnp.zeros((n, size * words), jnp.uint32)
    bits = jax.lax.platform_dependent(x, y, y_next, slope, cpu=one_by_one, default=at_once)
    pixels = (bits[..., None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return pixels.reshape(n, size, 32 * words)[..., :size] == 1
