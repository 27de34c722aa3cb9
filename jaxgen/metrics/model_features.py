"""The representations that trained models have of images: frozen features, for `jaxgen.metrics.probe` and other uses.

    features = posterior_features(vae, state)
    codes    = features(images)                                 # (b, latent); compiled

Each gives a compiled function from images, uint8 or float in [-1, 1], to features (b, d), which `features_of` maps over
a data set. ValueError for a model that wants more than an image to answer.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.layers import Conv
from jaxgen.metrics.features import Images
from jaxgen.models import GAN, VAE, InfoGAN
from jaxgen.pixels import normalise
from jaxgen.types import State

__all__ = ["code_features", "discriminator_features", "pca_features", "pixel_features", "posterior_features"]

GRID = 4  # pixels a side that convolutional layers are pooled to

Features = Callable[[Images], Float[Array, "b d"]]


def posterior_features(vae: VAE, state: State, hidden: bool = False) -> Features:
    """The mean of the posterior q(z | x), or the encoder's last hidden layer, from which it is read."""
    _needs_images_alone(vae)

    def features(variables, image):
        (mean, _), layers = _layers(vae.encoder, variables, normalise(image))
        return _flat(layers[-1:]) if hidden else mean

    return partial(jax.jit(features), state.variables("encoder"))


def code_features(gan: InfoGAN, state: State, hidden: bool = False) -> Features:
    """What InfoGAN's Q says of the codes, the logits of the categories and the means of the continuous ones; or the
    last hidden layer of Q."""
    codes = sum(gan.categorical) + gan.continuous

    def features(variables, image):
        (_, q), layers = _layers(gan.discriminator, variables, normalise(image), train=False)
        return _flat(layers[-1:]) if hidden else q[:, :codes]

    return partial(jax.jit(features), state.discriminator.variables)


def discriminator_features(gan: GAN, state: State) -> Features:
    """All hidden layers of a discriminator, after their activation, side by side (Radford et al. 2016, section 5.1).

    Of a convolutional layer the maxima over a grid of 4×4; a layer that is smaller, or dense, as it is.
    """
    _needs_images_alone(gan)

    def features(variables, image):
        _, layers = _layers(gan.discriminator, variables, normalise(image), train=False)
        return _flat([_pooled(x) if x.ndim == 4 else x for x in layers])

    return partial(jax.jit(features), state.discriminator.variables)


def pixel_features() -> Features:
    """The pixels themselves, in [-1, 1]."""
    return jax.jit(lambda image: normalise(image).reshape(len(image), -1))


def pca_features(train: Dataset | StreamedDataset, components: int) -> Features:
    """The projections of the pixels on the principal components of the training images, the largest first.

    ValueError where there are no so many components.
    """
    from sklearn.decomposition import PCA

    pixels = pixel_features()
    images = np.concatenate([np.asarray(pixels(batch["image"])) for batch in train.batches(500)])
    if not 1 <= components <= min(images.shape):
        raise ValueError(
            f"{components} components: {len(images)} images of {images.shape[1]} pixels have 1 to {min(images.shape)}"
        )
    fitted = PCA(components, random_state=0).fit(images)
    project = jax.jit(lambda mean, axes, image: (pixels(image) - mean) @ axes.T)
    return partial(project, fitted.mean_, fitted.components_)


def _needs_images_alone(model: VAE | GAN) -> None:
    if model.classes or getattr(model, "packing", 1) > 1:
        what = "labels" if model.classes else f"{model.packing} examples at a time"
        raise ValueError(f"{type(model).__name__}: its network sees {what}; a representation is of an image alone")


def _layers(network: nn.Module, variables: dict, image: Array, **options: bool) -> tuple:
    """The network's output, and its hidden layers as the next ones see them: what goes into each convolution and dense
    layer but the image. Maps that were flattened for a dense layer are maps again."""
    seen, shape = [], None

    def record(call, args, kwargs, context):
        nonlocal shape
        layer = isinstance(context.module, Conv | nn.Dense) and context.method_name == "__call__"
        if layer and not any(args[0] is x for x in seen):
            x = args[0]
            flattened = shape is not None and x.shape[1:] == (np.prod(shape),)
            seen.append(x.reshape(-1, *shape) if flattened else x)
        output = call(*args, **kwargs)
        if layer:
            shape = output.shape[1:] if output.ndim == 4 else None
        return output

    with nn.intercept_methods(record):
        output = network.apply(variables, image, None, **options)
    return output, seen[1:]


def _flat(layers: list[Array]) -> Float[Array, "b d"]:
    return jnp.concatenate([x.astype(jnp.float32).reshape(len(x), -1) for x in layers], axis=1)


def _pooled(x: Num[Array, "b h w c"]) -> Num[Array, "b p q c"]:
    """The maxima over a grid of 4×4 windows, which overlap by a row or column where 4 does not divide the side."""
    for axis in (1, 2):
        side = x.shape[axis]
        if side > GRID:
            windows = [slice(i * side // GRID, -(-(i + 1) * side // GRID)) for i in range(GRID)]
            x = jnp.stack([x[(slice(None),) * axis + (window,)].max(axis) for window in windows], axis)
    return x
