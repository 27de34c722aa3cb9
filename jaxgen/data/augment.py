"""Augmentation of batches: pure functions of a key and a batch, which run on the device."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxgen.types import Batch

__all__ = ["Augmentation", "augmentation_key", "in_turn", "mirror", "random_crop"]

Augmentation = Callable[[Key[Array, ""], Batch], Batch]
"""A pure function on the device: a key and a batch to a batch of the same shapes."""

ENLARGED = 286 / 256  # pix2pix crops 256 pixels from 286


def mirror(key: Key[Array, ""], batch: Batch) -> Batch:
    """Mirrors each example left to right with probability 1/2, all its images (b h w c) alike."""
    arrays = _arrays(batch)
    b = len(next(iter(arrays.values())))
    mirrored = jax.random.bernoulli(key, shape=(b, 1, 1, 1))
    return {name: jnp.where(mirrored, x[:, :, ::-1], x) if x.ndim == 4 else x for name, x in arrays.items()}


def random_crop(key: Key[Array, ""], batch: Batch) -> Batch:
    """Enlarges each image by 286/256 and crops a random part of the original size, all images (b h w c) of an example
    alike (Isola et al. 2017, appendix 6.2).

    uint8 images are rounded and clipped to 0..255, float images clipped to [-1, 1].
    """
    arrays = _arrays(batch)
    b = len(next(iter(arrays.values())))
    place = jax.random.uniform(key, (b, 2))

    def crop(image, place):
        size = image.shape[:2]
        large = tuple(round(ENLARGED * side) for side in size)
        enlarged = jax.image.resize(image.astype(jnp.float32), (*large, image.shape[2]), "bicubic")
        spare = jnp.array([more - side + 1 for more, side in zip(large, size, strict=True)])
        top, left = (place * spare).astype(jnp.int32)
        part = jax.lax.dynamic_slice(enlarged, (top, left, 0), (*size, image.shape[2]))
        if jnp.issubdtype(image.dtype, jnp.floating):
            return jnp.clip(part, -1, 1).astype(image.dtype)
        return jnp.clip(jnp.round(part), 0, 255).astype(jnp.uint8)

    return {name: jax.vmap(crop)(x, place) if x.ndim == 4 else x for name, x in arrays.items()}


def in_turn(augmentations: Sequence[Augmentation]) -> Augmentation:
    """Returns the augmentation that applies all of these in order, each with a key of its own."""

    def augment(key: Key[Array, ""], batch: Batch) -> Batch:
        keys = jax.random.split(key, len(augmentations))
        for augmentation, own in zip(augmentations, keys, strict=True):
            batch = augmentation(own, batch)
        return batch

    return augment if len(augmentations) > 1 else augmentations[0]


def augmentation_key(seed: int) -> Key[Array, ""]:
    """Returns the key of a run's augmentation; step i uses `jax.random.fold_in(augmentation_key(seed), i)`."""
    return jax.random.split(jax.random.key(seed))[1]


def _arrays(batch: Batch) -> dict[str, Array | np.ndarray]:
    """The batch as arrays; a batch may also hold bare shapes, which cannot be augmented."""
    return {name: x for name, x in batch.items() if not isinstance(x, jax.ShapeDtypeStruct)}
