"""Augmentation of what a discriminator sees, of data and samples alike, so that it does not learn few data by heart:
DiffAugment (Zhao et al. 2020, arXiv:2006.10738), and adaptive, as Karras et al. 2020 (arXiv:2006.06676).

    image = augment(key, image, AUGMENTATIONS["diff_augment"])
    image = augment(key, image, AUGMENTATIONS["adaptive"], probability)

All is differentiable in the image, so G's gradient flows through it.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

__all__ = ["AUGMENTATIONS", "adapted", "augment"]

Image = Float[Array, "h w c"]
Augmentation = Callable[[Key[Array, ""], Image], Image]
TARGET = 0.6  # of the mean sign of D's logits of data: above it D overfits (Karras et al. 2020, section 3)
IMAGES = 500_000  # in which the probability can go from 0 to 1


def brightness(key: Key[Array, ""], x: Image) -> Image:
    """Lighter or darker by up to half."""
    return x + jax.random.uniform(key, minval=-0.5, maxval=0.5)


def saturation(key: Key[Array, ""], x: Image) -> Image:
    """Differences from grey times 0 to 2; grey images stay."""
    grey = x.mean(-1, keepdims=True)
    return grey + (x - grey) * jax.random.uniform(key, maxval=2.0)


def contrast(key: Key[Array, ""], x: Image) -> Image:
    """Differences from the mean times 0.5 to 1.5."""
    return x.mean() + (x - x.mean()) * jax.random.uniform(key, minval=0.5, maxval=1.5)


def translation(key: Key[Array, ""], x: Image) -> Image:
    """Moved by up to an eighth of the sides; what enters is 0."""
    height, width, channels = x.shape
    reach = (height + 4) // 8, (width + 4) // 8
    corner = jax.random.randint(key, (2,), 0, 2 * jnp.array(reach) + 1)
    padded = jnp.pad(x, ((reach[0],) * 2, (reach[1],) * 2, (0, 0)))
    return jax.lax.dynamic_slice(padded, (*corner, 0), (height, width, channels))


def cutout(key: Key[Array, ""], x: Image) -> Image:
    """A rectangle of half the sides anywhere, also over the edge, is 0."""
    height, width, _ = x.shape
    centre = jax.random.uniform(key, (2,)) * jnp.array([height, width])
    rows, columns = (jnp.abs(jnp.arange(n) + 0.5 - at) < n / 4 for n, at in zip((height, width), centre, strict=True))
    return jnp.where((rows[:, None] & columns)[..., None], 0.0, x)


def mirror(key: Key[Array, ""], x: Image) -> Image:
    """Left and right change places, or not."""
    return jnp.where(jax.random.bernoulli(key), x[:, ::-1], x)


def rotation(key: Key[Array, ""], x: Image) -> Image:
    """By a multiple of 90°, of 180° where the image is not square."""
    turns = range(4) if x.shape[0] == x.shape[1] else (0, 2)
    turned = jnp.stack([jnp.rot90(x, turn) for turn in turns])
    return turned[jax.random.randint(key, (), 0, len(turns))]


AUGMENTATIONS: dict[str, tuple[Augmentation, ...]] = {
    "diff_augment": (brightness, saturation, contrast, translation, cutout),
    "adaptive": (mirror, rotation, translation, brightness, contrast, saturation, cutout),
}


def augment(
    key: Key[Array, ""],
    image: Float[Array, "b h w c"],
    augmentations: Sequence[Augmentation],
    probability: float | Float[Array, ""] = 1.0,
) -> Float[Array, "b h w c"]:
    """The images, in [-1, 1], each by one augmentation after another, each of these with so much probability."""

    def one(key, x):
        for each in augmentations:
            key, chance_key, own_key = jax.random.split(key, 3)
            x = jnp.where(jax.random.uniform(chance_key) < probability, each(own_key, x), x)
        return x

    return jax.vmap(one)(jax.random.split(key, len(image)), image)


def adapted(probability: Float[Array, ""], signs: Float[Array, ""], images: int) -> Float[Array, ""]:
    """The probability after `images` data whose logits had `signs` as their mean sign: more where D overfits, that is
    above 0.6, else less."""
    return jnp.clip(probability + jnp.sign(signs - TARGET) * images / IMAGES, 0.0, 1.0)
