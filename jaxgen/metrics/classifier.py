"""A small classifier, trained by the project on the data itself, to read generated images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import serialization, struct
from jaxtyping import Array, Float, Key

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.layers import Conv
from jaxgen.metrics.cache import cache_path, content_digest, keep
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["Classifier", "ClassifierNetwork", "ClassifierState", "accuracy", "train_classifier", "trained_classifier"]

BATCH = 500


class ClassifierNetwork(nn.Module):
    """Images of at least 4×4 pixels to class logits, or to the `features` units below them with `hidden=True`: three
    convolutions and two dense layers."""

    classes: int
    features: int = 256

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], hidden: bool = False) -> Float[Array, "b k"]:
        x = nn.relu(Conv(32, (3, 3))(image))
        x = nn.relu(Conv(64, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(Conv(128, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(nn.Dense(self.features)(x.reshape(x.shape[0], -1)))
        return x if hidden else nn.Dense(self.classes)(x)


@struct.dataclass
class ClassifierState:
    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    params: dict
    optimiser: optax.OptState


@dataclass(frozen=True)
class Classifier:
    """Cross-entropy on labelled images, each moved by up to `shift` pixels in training; trained by `fit`."""

    network: nn.Module
    optimiser: optax.GradientTransformation
    shift: int = 1

    def init(self, key: Key[Array, ""], batch: Batch) -> ClassifierState:
        """The state before the first step."""
        key, network_key = jax.random.split(key)
        params = self.network.init(network_key, jnp.zeros((1, *batch["image"].shape[1:])))
        return ClassifierState(jnp.int32(0), key, params, self.optimiser.init(params))

    def step(self, state: ClassifierState, batch: Batch) -> tuple[ClassifierState, Metrics]:
        """One step on the mean cross-entropy."""
        key, shift_key = jax.random.split(state.key)
        image = normalise(batch["image"])
        shifts = jax.random.randint(shift_key, (len(image), 2), -self.shift, self.shift + 1)
        image = jax.vmap(lambda x, s: jnp.roll(x, s, axis=(0, 1)))(image, shifts)

        def loss(params):
            logits = self.network.apply(params, image)
            entropy = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()
            return entropy, (logits.argmax(-1) == batch["label"]).mean()

        (value, right), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return ClassifierState(state.step + 1, key, params, optimiser), {"loss": value, "accuracy": right}

    def classify(self, state: ClassifierState, image: Array) -> Float[Array, "b k"]:
        """Class logits of uint8 images, or of float images in [-1, 1]."""
        return self.network.apply(state.params, normalise(image))


def train_classifier(
    train: Dataset | StreamedDataset, fit: Callable, *, steps: int = 1500, batch_size: int = 128
) -> Callable[[Array], Float[Array, "b k"]]:
    """A compiled function from images to class logits, trained on `train` by `fit` (`jaxgen.training.fit`).

    It is kept in the user's cache folder by the content of the data, so the same data are learned once.

    Raises:
        ValueError: the data has no labels.
    """
    network, params = trained_classifier(train, fit, steps=steps, batch_size=batch_size)
    return jax.jit(lambda image: network.apply(params, normalise(image)))


def trained_classifier(
    train: Dataset | StreamedDataset, fit: Callable, *, steps: int, batch_size: int
) -> tuple[ClassifierNetwork, dict]:
    """The network of `train_classifier` and its parameters, on the host."""
    if not train.classes:
        raise ValueError(f"{train.name}: a classifier needs labels")
    schedule = optax.cosine_decay_schedule(1e-3, steps)
    model = Classifier(ClassifierNetwork(train.classes), optax.adam(schedule))
    batch_size = min(batch_size, len(train))
    digest = content_digest(f"{model.network} {model.shift} {steps} {batch_size}", train.batches(10_000))
    path = cache_path("classifiers", f"{digest}.msgpack")
    if path.exists():
        blank = jax.eval_shape(model.init, jax.random.key(0), train.spec(batch_size)).params
        params = serialization.from_bytes(blank, path.read_bytes())
    else:
        print(f"training a classifier of {train.name or 'the data'}, once; it is kept in {path.parent}", flush=True)
        params = fit(model, train, steps=steps, batch_size=batch_size, log_every=min(100, steps)).params
        keep(path, serialization.to_bytes(jax.device_get(params)))
    return model.network, jax.device_get(params)


def accuracy(classify: Callable[[Array], Array], data: Dataset | StreamedDataset) -> float:
    """The share of examples whose label is the largest logit."""
    right = sum(
        int((np.asarray(classify(batch["image"])).argmax(-1) == batch["label"]).sum()) for batch in data.batches(BATCH)
    )
    return right / len(data)
