"""The Inception-v3 of the Fréchet inception distance (Szegedy et al. 2015, arXiv:1512.00567; weights of 2015-12-05).

It differs from the Inception-v3 of common libraries: 1,008 logits; average pools that do not count the padding; in the
last block a max pool instead. The published weights are no part of this library: `load_inception` reads the file
`pt_inception-2015-12-05` that the PyTorch codebases use, by their names.
"""

from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from jaxgen.layers import Conv
from jaxgen.metrics.weights import read_weights

__all__ = ["InceptionV3", "load_inception", "resize"]

SIZE = 299
# From PyTorch's axes (out, in, ...) to Flax's, by the number of axes.
KERNELS: dict[int, tuple[int, ...]] = {4: (2, 3, 1, 0), 2: (1, 0)}


class _Norm(nn.Module):
    """Batch normalisation by stored statistics. All four vectors are parameters: nothing here is trained."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        weight, bias, mean, variance = (
            self.param(name, init, x.shape[-1:])
            for name, init in (
                ("weight", nn.initializers.ones),
                ("bias", nn.initializers.zeros),
                ("running_mean", nn.initializers.zeros),
                ("running_var", nn.initializers.ones),
            )
        )
        return (x - mean) * (weight * jax.lax.rsqrt(variance + 1e-3)) + bias


class _Conv(nn.Module):
    """Convolution, normalisation, ReLU."""

    features: int
    kernel_size: int | tuple[int, int] = 1
    strides: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Conv(self.features, self.kernel_size, self.strides, self.padding, use_bias=False, name="conv")(x)
        return nn.relu(_Norm(name="bn")(x))


def _max_pool(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _chain(x: Array, *convolutions: tuple[Any, ...]) -> Array:
    """Convolutions one after the other, each (name, features, kernel size, ...), as parts of the module that calls."""
    for name, *settings in convolutions:
        x = _Conv(*settings, name=name)(x)
    return x


def _pooled(x: Array, features: int) -> Array:
    x = nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
    return _chain(x, ("branch_pool", features))


class BlockA(nn.Module):
    """5×5 and double 3×3 branches, at the finest maps."""

    pool: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        branches = (
            _chain(x, ("branch1x1", 64)),
            _chain(x, ("branch5x5_1", 48), ("branch5x5_2", 64, 5)),
            _chain(x, ("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
            _pooled(x, self.pool),
        )
        return jnp.concatenate(branches, axis=-1)


class BlockB(nn.Module):
    """Halves the maps, from the blocks A to the blocks C."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        branches = (
            _chain(x, ("branch3x3", 384, 3, 2, "VALID")),
            _chain(x, ("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2, "VALID")),
            _max_pool(x),
        )
        return jnp.concatenate(branches, axis=-1)


class BlockC(nn.Module):
    """7×7 convolutions in rows and columns."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        c, row, column = self.width, (1, 7), (7, 1)
        branches = (
            _chain(x, ("branch1x1", 192)),
            _chain(x, ("branch7x7_1", c), ("branch7x7_2", c, row), ("branch7x7_3", 192, column)),
            _chain(
                x,
                ("branch7x7dbl_1", c),
                ("branch7x7dbl_2", c, column),
                ("branch7x7dbl_3", c, row),
                ("branch7x7dbl_4", c, column),
                ("branch7x7dbl_5", 192, row),
            ),
            _pooled(x, 192),
        )
        return jnp.concatenate(branches, axis=-1)


class BlockD(nn.Module):
    """Halves the maps, from the blocks C to the blocks E."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        branches = (
            _chain(x, ("branch3x3_1", 192), ("branch3x3_2", 320, 3, 2, "VALID")),
            _chain(
                x,
                ("branch7x7x3_1", 192),
                ("branch7x7x3_2", 192, (1, 7)),
                ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, 3, 2, "VALID"),
            ),
            _max_pool(x),
        )
        return jnp.concatenate(branches, axis=-1)


class BlockE(nn.Module):
    """The last blocks, whose branches fork."""

    max_pool: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        single = _chain(x, ("branch3x3_1", 384))
        double = _chain(x, ("branch3x3dbl_1", 448), ("branch3x3dbl_2", 384, 3))
        if self.max_pool:
            pooled = _chain(nn.max_pool(x, (3, 3), (1, 1), "SAME"), ("branch_pool", 192))
        else:
            pooled = _pooled(x, 192)
        branches = (
            _chain(x, ("branch1x1", 320)),
            _chain(single, ("branch3x3_2a", 384, (1, 3))),
            _chain(single, ("branch3x3_2b", 384, (3, 1))),
            _chain(double, ("branch3x3dbl_3a", 384, (1, 3))),
            _chain(double, ("branch3x3dbl_3b", 384, (3, 1))),
            pooled,
        )
        return jnp.concatenate(branches, axis=-1)


class InceptionV3(nn.Module):
    """RGB images in [-1, 1], of at least 75×75 pixels and meant to be of 299×299 (`resize`), to 2,048 pooled features
    and 1,008 logits. The modules have the names of the weight file."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b 2048"], Float[Array, "b 1008"]]:
        x = _Conv(32, 3, 2, "VALID", name="Conv2d_1a_3x3")(image)
        x = _Conv(32, 3, 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = _max_pool(_Conv(64, 3, name="Conv2d_2b_3x3")(x))
        x = _Conv(80, name="Conv2d_3b_1x1")(x)
        x = _max_pool(_Conv(192, 3, 1, "VALID", name="Conv2d_4a_3x3")(x))
        for block, pool in zip("bcd", (32, 64, 64), strict=True):
            x = BlockA(pool, name=f"Mixed_5{block}")(x)
        x = BlockB(name="Mixed_6a")(x)
        for block, width in zip("bcde", (128, 160, 160, 192), strict=True):
            x = BlockC(width, name=f"Mixed_6{block}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(max_pool=False, name="Mixed_7b")(x)
        x = BlockE(max_pool=True, name="Mixed_7c")(x)
        features = x.mean((1, 2))
        return features, nn.Dense(1008, name="fc")(features)


def resize(image: Float[Array, "b h w c"]) -> Float[Array, "b 299 299 3"]:
    """Returns images in [-1, 1] as the network wants them; a grey one gets three equal channels.

    Bilinear, between the centres of pixels and without a filter, as the PyTorch port of FID does (`interpolate` with
    `align_corners=False`). The TensorFlow original aligned the pixels' corners: its figures differ slightly.

    Raises:
        ValueError: neither one channel nor three.
    """
    if image.shape[-1] not in (1, 3):
        raise ValueError(f"Inception reads images of 1 or 3 channels: got shape {image.shape}")
    image = jax.image.resize(image, (len(image), SIZE, SIZE, image.shape[-1]), "linear", antialias=False)
    return jnp.broadcast_to(image, (*image.shape[:3], 3))


def load_inception(path: str | Path) -> dict[str, Any]:
    """Returns the variables of `InceptionV3` from a file with the names of `pt_inception-2015-12-05`: `.pth`, `.pt` or
    `.safetensors`. Entries that the network lacks, such as counts of batches, are left.

    Raises:
        ValueError: the file cannot be read or is of another network; says which entries are missing or of another
            shape.
    """
    entries = read_weights(path)
    blank = jax.eval_shape(InceptionV3().init, jax.random.key(0), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32))
    arrays, wrong = {}, []
    for names, leaf in cast(Any, flatten_dict(blank["params"])).items():
        entry = ".".join(names).replace(".kernel", ".weight")
        array = entries.get(entry)
        found = None if array is None else array.transpose(KERNELS.get(array.ndim))
        if found is None or found.shape != leaf.shape:
            wrong.append(f"{entry} {'is missing' if array is None else f'has shape {array.shape}'}")
        else:
            arrays[names] = np.ascontiguousarray(found, np.float32)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{path}: not the weights of the Inception-v3 of FID: {', '.join(wrong[:3])}{more}")
    return {"params": unflatten_dict(arrays)}
