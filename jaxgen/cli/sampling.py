"""How an experiment samples: a small dataclass whose fields are flags of `sample` and arguments of `Run.sample`.

A field that the experiment's config has too takes its default from the run. An experiment whose model samples in its
own way overrides `options` or `draw`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.types import State

__all__ = ["ByLabel", "Drawn", "Load", "Sampling", "drawn"]

S = TypeVar("S", bound="Sampling")
Load = Callable[[], tuple[Any, Any]]
"""A function that reads the training and the test set of the run."""


class Drawn(NamedTuple):
    """Samples, and how many stand in a row of their grid."""

    images: Float[Array, "n ..."]
    columns: int
    names: tuple[str, ...] = ()
    """What stands above the columns."""


@dataclass(frozen=True)
class Sampling:
    """Samples of a model without labels."""

    @classmethod
    def of(cls: type[S], config: Any) -> S:
        """Returns the sampling of a run: the fields that its config has too, and defaults."""
        shared = {field.name for field in dataclasses.fields(cls)} & {f.name for f in dataclasses.fields(config)}
        return cls(**{name: getattr(config, name) for name in shared})

    def options(self) -> dict[str, Any]:
        """Returns the keyword arguments of the model's `sample` that are the same for all samples; all hashable."""
        return {}

    def draw(self, model: Any, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Draws n samples; a model from images to images takes these from the test set that `load` reads.

        ValueError for a field that the model has no use for.
        """
        return Drawn(drawn(model, state, key, n, **self.options()), math.isqrt(n - 1) + 1)

    def picture(self, model: Any, load: Load) -> Callable[[State], Drawn]:
        """Returns the function that draws the sample picture of a training run, from the same latents each time."""
        example = load()[0].example
        points = "image" in example and len(example["image"].shape) == 1
        n = 1000 if points else self.shown(model)
        return lambda state: self.draw(model, state, jax.random.key(0), n, load)

    def shown(self, model: Any) -> int:
        """Returns the number of images in the sample picture of a training run."""
        return 64


@dataclass(frozen=True)
class ByLabel(Sampling):
    """Samples of a model that may be conditioned on labels, one row of the grid for each label."""

    labels: tuple[int, ...] = ()
    """The classes to sample, each once; by default all. Only a conditional model has them."""

    def draw(self, model: Any, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Draws n samples; without `labels` the number of whole rows that n samples make.

        ValueError for labels that the model does not have, and for n that the labels do not divide.
        """
        labels = self.rows(self.classes(model), n)
        if not labels:
            return super().draw(model, state, key, n, load)
        columns = n // len(labels)
        label = jnp.repeat(jnp.array(labels, jnp.int32), columns)
        return Drawn(drawn(model, state, key, len(label), {"label": label}, **self.options()), columns)

    def classes(self, model: Any) -> int:
        """Returns the number of labels that the model knows; 0 where it is unconditional."""
        return model.classes

    def shown(self, model: Any) -> int:
        """Returns the number of samples in the picture of a training run: eight of each class, or 64."""
        return 8 * (self.classes(model) or 8)

    def rows(self, classes: int, n: int) -> tuple[int, ...]:
        """Returns the labels of the rows of n samples; () for an unconditional model. ValueError as `draw` raises."""
        if self.labels and not classes:
            raise ValueError("--labels: this run's model is unconditional")
        if len(self.labels) > classes or len(set(self.labels)) < len(self.labels):
            raise ValueError(
                f"--labels {' '.join(map(str, self.labels))}: each of the {classes} classes can be named once"
            )
        for label in self.labels:
            if not 0 <= label < classes:
                raise ValueError(f"--labels {label}: this run's labels are 0 to {classes - 1}")
        labels = self.labels or tuple(range(classes))
        if labels and n % len(labels):
            if self.labels:
                raise ValueError(f"--n {n}: a multiple of the {len(labels)} labels is needed")
            labels = labels[:n]
        return labels


def drawn(
    model: Any, state: State, key: Key[Array, ""], n: int, arrays: Mapping[str, Any] | None = None, **options: Any
) -> Float[Array, "n ..."]:
    """Draws n samples by the model's `sample`, compiled once for each model, n and `options`.

    `arrays` are further arguments, which may change without another compilation.
    """
    return _compiled(model, n, tuple(sorted(options.items())))(state, key, dict(arrays or {}))


@functools.lru_cache(maxsize=16)
def _compiled(model: Any, n: int, options: tuple[tuple[str, Any], ...]) -> Callable[..., Array]:
    return jax.jit(lambda state, key, arrays: model.sample(state, key, n, **arrays, **dict(options)))
