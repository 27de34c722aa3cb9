"""A small classifier, trained on the data itself, which reads generated images and is the extractor of their features.

    classify  = train_classifier(train)                         # logits = classify(images)
    extractor = classifier_extractor(train)                     # the same classifier: name, features, logits

A classifier is trained once. It is kept in the user's cache folder by the content of the data, and so is its training
while it runs: where that was interrupted, the next call goes on with it.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import serialization, struct
from jaxtyping import Array, Float, Key

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.cache import cache_path, keep
from jaxgen.layers import Conv
from jaxgen.metrics.digest import content_digest
from jaxgen.metrics.features import Extractor, weights_digest
from jaxgen.pixels import normalise
from jaxgen.training import fit
from jaxgen.types import Batch, Metrics

__all__ = [
    "STEPS",
    "Classifier",
    "ClassifierNetwork",
    "ClassifierState",
    "accuracy",
    "classifier_extractor",
    "train_classifier",
    "trained_classifier",
]

STEPS = 1500  # the training steps, where the caller names no number
BATCH = 500  # images that are read at once
CHECKPOINT_EVERY = 250  # steps


class ClassifierNetwork(nn.Module):
    """Images of at least 4×4 pixels to class logits, or to the units below them: three convolutions and two dense
    layers."""

    classes: int
    """The number of classes."""
    features: int = 256
    """The number of units below the logits."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], hidden: bool = False) -> Float[Array, "b k"]:
        """Returns the logits, or with `hidden` the units below them."""
        x = nn.relu(Conv(32, (3, 3))(image))
        x = nn.relu(Conv(64, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(Conv(128, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(nn.Dense(self.features)(x.reshape(x.shape[0], -1)))
        return x if hidden else nn.Dense(self.classes)(x)


@struct.dataclass
class ClassifierState:
    """Everything that the training of a classifier needs to go on."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    params: Any
    optimiser: Any


@dataclass(frozen=True)
class Classifier:
    """A classifier of images, which `jaxgen.training.fit` trains on the cross-entropy."""

    network: nn.Module
    """A module from images in [-1, 1] to class logits."""
    optimiser: optax.GradientTransformation
    """The optimiser of the network's parameters."""
    shift: int = 1
    """In training each image is moved by up to this number of pixels along both axes."""

    def init(self, key: Key[Array, ""], batch: Batch) -> ClassifierState:
        """Returns the state before the first step."""
        key, network_key = jax.random.split(key)
        params = self.network.init(network_key, jnp.zeros((1, *batch["image"].shape[1:])))
        return ClassifierState(jnp.int32(0), key, params, self.optimiser.init(params))

    def step(self, state: ClassifierState, batch: Mapping[str, Any]) -> tuple[ClassifierState, Metrics]:
        """Takes one step on the mean cross-entropy."""
        key, shift_key = jax.random.split(state.key)
        image = normalise(batch["image"])
        shifts = jax.random.randint(shift_key, (len(image), 2), -self.shift, self.shift + 1)
        image = jax.vmap(lambda x, s: jnp.roll(x, s, axis=(0, 1)))(image, shifts)

        def loss(params):
            logits = _apply(self.network, params, image)
            entropy = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()
            return entropy, (logits.argmax(-1) == batch["label"]).mean()

        (value, right), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return ClassifierState(state.step + 1, key, params, optimiser), {"loss": value, "accuracy": right}

    def classify(self, state: ClassifierState, image: Array) -> Float[Array, "b k"]:
        """Returns the class logits of uint8 images, or of float images in [-1, 1]."""
        return _apply(self.network, state.params, normalise(image))


def _apply(network: nn.Module, variables: Any, image: Any, **options: Any) -> Any:
    return network.apply(variables, image, **options)


def train_classifier(
    train: Dataset | StreamedDataset, *, steps: int | None = None, batch_size: int = 128
) -> Callable[[Array], Float[Array, "b k"]]:
    """Returns a compiled function from images to class logits, by a classifier that is trained on `train`.

    Args:
        train: labelled images.
        steps: the number of training steps; by default `STEPS`.
        batch_size: examples of a step, at most all of them.

    Raises:
        ValueError: the data has no labels.
    """
    network, params = trained_classifier(train, steps=steps, batch_size=batch_size)
    return jax.jit(lambda image: _apply(network, params, normalise(image)))


def classifier_extractor(
    train: Dataset | StreamedDataset, *, steps: int | None = None, batch_size: int = 128
) -> Extractor:
    """Returns an extractor of the 256 units below the logits of the classifier that `train_classifier` trains: for data
    unlike photographs. The arguments and errors are the same."""
    network, params = trained_classifier(train, steps=steps, batch_size=batch_size)
    features = jax.jit(lambda params, image: _apply(network, params, normalise(image), hidden=True))
    head = {"params": params["params"]["Dense_1"]}
    return Extractor(
        f"classifier of {train.name or 'data'} {weights_digest(params)}",
        partial(features, params),
        partial(_apply, nn.Dense(network.classes), head),
    )


def trained_classifier(
    train: Dataset | StreamedDataset, *, steps: int | None = None, batch_size: int = 128
) -> tuple[ClassifierNetwork, dict[str, Any]]:
    """Returns the network of `train_classifier` and its parameters, on the host. The arguments and errors are the
    same."""
    if not train.classes:
        raise ValueError(f"{train.name or 'the data'}: a classifier needs labels")
    steps = STEPS if steps is None else steps
    network = ClassifierNetwork(train.classes)
    model = Classifier(network, optax.adam(optax.cosine_decay_schedule(1e-3, steps)))
    batch_size = min(batch_size, len(train))
    digest = content_digest(f"{network} {model.shift} {steps} {batch_size}", train.batches(10_000))
    path = cache_path("classifiers", f"{digest}.msgpack")
    if path.exists():
        blank = jax.eval_shape(model.init, jax.random.key(0), train.spec(batch_size)).params
        params = serialization.from_bytes(blank, path.read_bytes())
    else:
        params = jax.device_get(_train(model, train, steps, batch_size, path.with_suffix("")))
        keep(path, serialization.to_bytes(params))
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    return network, jax.device_get(params)


def _train(model: Classifier, train: Dataset | StreamedDataset, steps: int, batch_size: int, folder: Path) -> Any:
    """The parameters after `steps` steps, of which those that `folder` holds are taken already."""
    what = f"a classifier of {train.name or 'the data'}, {len(train)} images, for the figures: {steps} steps"
    with _mine_alone(folder) as mine:
        begun = mine and (folder / "checkpoints").is_dir()
        print(f"{'going on with' if begun else 'training'} {what}, once; kept in {folder.parent}", file=sys.stderr)
        return fit(
            model,
            train,
            steps=steps,
            batch_size=batch_size,
            run=folder if mine else None,
            resume=mine,
            log_every=min(100, steps),
            checkpoint_every=CHECKPOINT_EVERY,
        ).params


@contextmanager
def _mine_alone(folder: Path) -> Iterator[bool]:
    """Whether this process alone may write to the folder; another that trains the same classifier keeps no folder."""
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None
    if fcntl is None or jax.process_count() > 1:
        yield False
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock")
    with lock.open("w") as file:
        mine = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which the end of the process releases
        except OSError:
            mine = False
        yield mine
        if mine:
            lock.unlink(missing_ok=True)


def accuracy(classify: Callable[[Any], Array | np.ndarray], data: Dataset | StreamedDataset) -> float:
    """Returns the share of examples whose label has the largest logit."""
    right = sum(
        int((np.asarray(classify(batch["image"])).argmax(-1) == batch["label"]).sum()) for batch in data.batches(BATCH)
    )
    return right / len(data)
