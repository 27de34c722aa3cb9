"""Features of data sets, and the representations that trained models have of images.

    features = posterior_features(vae, state)
    codes    = features(images)                                 # (b, latent); compiled
    real     = real_features(extractor, train, 10_000)          # kept in the user's cache folder

The representations are frozen features, for `jaxgen.metrics.probe` and other uses. Each is a compiled function from
images, uint8 or float in [-1, 1], to features (b, d). ValueError for a model that needs more than an image to answer.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.cache import cache_path, keep
from jaxgen.layers import Conv
from jaxgen.metrics.digest import content_digest
from jaxgen.metrics.features import Extractor, Images, features_of, pixel_extractor
from jaxgen.models import GAN, VAE, InfoGAN
from jaxgen.pixels import normalise
from jaxgen.types import State

__all__ = [
    "code_features",
    "discriminator_features",
    "images_of",
    "largest_in_grid",
    "pca_features",
    "posterior_features",
    "real_features",
]

GRID = 4  # windows a side over which convolutional layers are pooled
BATCH = 100  # images of which features are computed at once

Features = Callable[[Images], Float[Array, "b d"]]


def images_of(data: Dataset | StreamedDataset, size: int = BATCH) -> Iterator[Images]:
    """Yields all images of a data set, in its order, in batches of `size`."""
    return (batch["image"] for batch in data.batches(size))


def real_features(extractor: Extractor, data: Dataset | StreamedDataset, n: int) -> Float[np.ndarray, "n d"]:
    """Returns the features of `n` random examples, always the same; those of all where there are no more.

    They are kept in the user's cache folder by the content of the images and the name of the extractor. ValueError for
    n < 1.
    """
    if n < 1:
        raise ValueError(f"features of {n} examples: at least 1 is needed")
    chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:n])

    def images() -> Iterator[Images]:
        return (data.batch(chosen[start : start + BATCH])["image"] for start in range(0, len(chosen), BATCH))

    digest = content_digest(extractor.name, ({"image": image} for image in images()))
    path = cache_path("features", f"{digest}.npy")
    if not path.exists():
        file = io.BytesIO()
        np.save(file, features_of(extractor, images()))
        keep(path, file.getvalue())
    return np.load(path)


def posterior_features(vae: VAE, state: State, hidden: bool = False) -> Features:
    """Returns the mean of the posterior q(z | x), or with `hidden` the encoder's last hidden layer, from which the mean
    is read."""
    if vae.classes:
        _refuse(vae, "labels")

    def features(variables, image):
        (mean, _), layers = _layers(vae.encoder, variables, normalise(image))
        return _flat(layers[-1:]) if hidden else mean

    return partial(jax.jit(features), state.variables("encoder"))


def code_features(gan: InfoGAN, state: State, hidden: bool = False) -> Features:
    """Returns what InfoGAN's Q infers of the codes, the logits of the categories and the means of the continuous ones;
    or with `hidden` the last hidden layer of Q."""
    codes = sum(gan.categorical) + gan.continuous

    def features(variables, image):
        (_, q), layers = _layers(gan.discriminator, variables, normalise(image), train=False)
        return _flat(layers[-1:]) if hidden else q[:, :codes]

    return partial(jax.jit(features), state.discriminator.variables)


def discriminator_features(gan: GAN, state: State) -> Features:
    """Returns all hidden layers of a discriminator, after their activation, side by side (Radford et al. 2016,
    section 5.1).

    A convolutional layer enters by its maxima over a grid of 4×4; a layer that is smaller, or dense, enters whole.
    """
    if gan.classes:
        _refuse(gan, "labels")
    if gan.packing > 1:
        _refuse(gan, f"{gan.packing} examples at a time")

    def features(variables, image):
        _, layers = _layers(gan.discriminator, variables, normalise(image), train=False)
        return _flat([largest_in_grid(x) if x.ndim == 4 else x for x in layers])

    return partial(jax.jit(features), state.discriminator.variables)


def pca_features(train: Dataset | StreamedDataset, components: int) -> Features:
    """Returns the projections of the pixels on the principal components of the training images, the largest first.

    ValueError where the images have fewer components.
    """
    from sklearn.decomposition import PCA

    pixels = pixel_extractor().features
    images = np.concatenate([np.asarray(pixels(batch["image"])) for batch in train.batches(500)])
    if not 1 <= components <= min(images.shape):
        raise ValueError(
            f"{components} components: {len(images)} images of {images.shape[1]} pixels have 1 to {min(images.shape)}"
        )
    fitted = PCA(components, random_state=0).fit(images)
    project = jax.jit(lambda mean, axes, image: (pixels(image) - mean) @ axes.T)
    return partial(project, fitted.mean_, fitted.components_)


def _refuse(model: GAN | VAE, what: str) -> None:
    raise ValueError(f"{type(model).__name__}: its network sees {what}; a representation is of an image alone")


def _layers(network: nn.Module, variables: dict[str, Any], image: Any, **options: Any) -> tuple[Any, ...]:
    """The network's output, and its hidden layers as the next ones see them: what goes into each convolution and dense
    layer but the image. Maps that were flattened for a dense layer are maps again."""
    seen: list[Any] = []
    shape: tuple[int, ...] | None = None

    def record(call, args, kwargs, context):
        nonlocal shape
        layer = isinstance(context.module, Conv | nn.Dense) and context.method_name == "__call__"
        if layer and not any(args[0] is x for x in seen):
            x = args[0]
            if shape is not None and x.shape[1:] == (np.prod(shape),):
                x = x.reshape(-1, *shape)
            seen.append(x)
        output = call(*args, **kwargs)
        if layer:
            shape = output.shape[1:] if output.ndim == 4 else None
        return output

    with nn.intercept_methods(record):
        output = network.apply(variables, image, None, **options)
    return output, seen[1:]


def _flat(layers: list[Array]) -> Float[Array, "b d"]:
    return jnp.concatenate([x.astype(jnp.float32).reshape(len(x), -1) for x in layers], axis=1)


def largest_in_grid(x: Num[Array, "b h w c"]) -> Num[Array, "b p q c"]:
    """Returns the maxima over a grid of 4×4 windows, which overlap by a row or column where 4 does not divide the
    side. A side of at most 4 stays."""
    for axis in (1, 2):
        side = x.shape[axis]
        if side > GRID:
            windows = [slice(i * side // GRID, -(-(i + 1) * side // GRID)) for i in range(GRID)]
            x = jnp.stack([x[(slice(None),) * axis + (window,)].max(axis) for window in windows], axis)
    return x
