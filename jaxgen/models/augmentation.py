"""Augmentation of what a discriminator sees, so that it does not learn few data by heart.

    gan = GAN(..., augmentation=diff_augment)
    gan = GAN(..., augmentation=adaptive)
    gan = GAN(..., augmentation=Augmentation((mirror, my_operation)))

Data and samples are augmented alike: DiffAugment (Zhao et al. 2020, arXiv:2006.10738), and adaptively, as Karras et al.
2020 (arXiv:2006.06676). All is differentiable in the image, so the generator's gradient flows through it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

__all__ = [
    "Augmentation",
    "adaptive",
    "brightness",
    "contrast",
    "cutout",
    "diff_augment",
    "mirror",
    "rotation",
    "saturation",
    "translation",
]

Image = Float[Array, "h w c"]
Operation = Callable[[Key[Array, ""], Image], Image]


@dataclass(frozen=True)
class Augmentation:
    """Operations on images in [-1, 1], one after the other, each with a probability."""

    operations: tuple[Operation, ...]
    """Functions (key, image) -> image of one image, (h, w, c), such as `mirror`."""
    adaptive: bool = False
    """Whether the probability of each operation follows how much the discriminator overfits; else it is 1."""
    target: float = 0.6
    """The mean sign of the discriminator's logits of data above which it overfits (Karras et al. 2020, section 3)."""
    images: int = 500_000
    """The number of images in which an adaptive probability can go from 0 to 1."""

    def __call__(
        self, key: Key[Array, ""], image: Float[Array, "b h w c"], probability: float | Float[Array, ""] = 1.0
    ) -> Float[Array, "b h w c"]:
        """Returns the augmented images; each operation is applied to each image with this probability."""

        def one(key, x):
            for operation in self.operations:
                key, chance_key, own_key = jax.random.split(key, 3)
                x = jnp.where(jax.random.uniform(chance_key) < probability, operation(own_key, x), x)
            return x

        return jax.vmap(one)(jax.random.split(key, len(image)), image)

    def adapted(self, probability: Float[Array, ""], sign: Float[Array, ""], images: int) -> Float[Array, ""]:
        """Returns the probability after this number of data, whose logits had `sign` as their mean sign.

        It rises where the discriminator overfits, that is above `target`, and else it falls.
        """
        return jnp.clip(probability + jnp.sign(sign - self.target) * images / self.images, 0.0, 1.0)


def brightness(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image lighter or darker by up to half."""
    return x + jax.random.uniform(key, minval=-0.5, maxval=0.5)


def saturation(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image with its differences from grey times 0 to 2; a grey image stays as it is."""
    grey = x.mean(-1, keepdims=True)
    return grey + (x - grey) * jax.random.uniform(key, maxval=2.0)


def contrast(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image with its differences from the mean times 0.5 to 1.5."""
    return x.mean() + (x - x.mean()) * jax.random.uniform(key, minval=0.5, maxval=1.5)


def translation(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image moved by up to an eighth of its sides; what enters is 0."""
    height, width, channels = x.shape
    reach = (height + 4) // 8, (width + 4) // 8
    corner = jax.random.randint(key, (2,), 0, 2 * jnp.array(reach) + 1)
    padded = jnp.pad(x, ((reach[0],) * 2, (reach[1],) * 2, (0, 0)))
    return jax.lax.dynamic_slice(padded, (*corner, 0), (height, width, channels))


def cutout(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image with a rectangle of half its sides set to 0; the rectangle may reach over the edge."""
    height, width, _ = x.shape
    centre = jax.random.uniform(key, (2,)) * jnp.array([height, width])
    rows, columns = (jnp.abs(jnp.arange(n) + 0.5 - at) < n / 4 for n, at in zip((height, width), centre, strict=True))
    return jnp.where((rows[:, None] & columns)[..., None], 0.0, x)


def mirror(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image or, half of the time, its mirror image."""
    return jnp.where(jax.random.bernoulli(key), x[:, ::-1], x)


def rotation(key: Key[Array, ""], x: Image) -> Image:
    """Returns the image turned by a multiple of 90°, or of 180° where it is not square."""
    turns = range(4) if x.shape[0] == x.shape[1] else (0, 2)
    turned = jnp.stack([jnp.rot90(x, turn) for turn in turns])
    return turned[jax.random.randint(key, (), 0, len(turns))]


diff_augment: Augmentation = Augmentation((brightness, saturation, contrast, translation, cutout))
"""DiffAugment's colour, translation and cutout, applied to every image."""
adaptive: Augmentation = Augmentation(
    (mirror, rotation, translation, brightness, contrast, saturation, cutout), adaptive=True
)
"""Augmentation with a probability that rises while the discriminator overfits."""
