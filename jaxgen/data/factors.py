"""Images made by known factors, from which the measures of disentanglement draw.

world   = factor_world("sprites")                                  # also sprites-colour, tfds:shapes3d, ...
factors = world.sample(seed=7, n=64, shape=2)                      # (64, 6): the class of each factor; all are hearts
images  = world.images(factors)                                    # (64, 64, 64, 1) uint8
index   = world.index(factors)                                     # (64,), and world.factors(index) is back again
fixed   = world.classes(shape="heart", scale=0.7)                  # {"shape": 2, "scale": 2}: from values to classes
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Int, Shaped, UInt8

__all__ = ["FactorWorld"]

Factors = Int[Array | np.ndarray, "*b k"]
"""The class of each factor, counted from 0."""


@dataclass(frozen=True, eq=False)
class FactorWorld:
    """An image for every combination of a few factors; along the index the last factor changes fastest."""

    name: str
    """The source, for messages."""
    values: Mapping[str, Shaped[np.ndarray, "_"]]
    """The value of each class of a factor, by the factor's name, in order."""
    render: Callable[[Int[Array | np.ndarray, "n k"]], UInt8[Array | np.ndarray, "n h w c"]]
    """Makes images from factors without checking them; for `sprites` a pure function for use inside `jit`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the factors."""
        return tuple(self.values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of classes of each factor."""
        return tuple(map(len, self.values.values()))

    def __len__(self) -> int:
        """The number of combinations."""
        return math.prod(self.sizes)

    def factors(self, index: int | Int[Array | np.ndarray, "*b"]) -> Int[np.ndarray, "*b k"]:
        """Returns the factors of the example(s) of `index`. Raises `ValueError` outside 0 to len(self) - 1."""
        index = np.asarray(index)
        _check(f"{self.name}: index", index, len(self))
        return np.stack(np.unravel_index(index, self.sizes), axis=-1).astype(np.int32)

    def index(self, factors: Factors) -> Int[np.ndarray, "*b"]:
        """Returns the index of each example. Raises `ValueError` for a factor out of range."""
        factors = np.asarray(factors)
        if factors.shape[-1:] != (len(self.sizes),):
            raise ValueError(
                f"{self.name}: the last axis of factors has the {len(self.sizes)} classes of "
                f"{', '.join(self.names)}; given was an array of shape {factors.shape}"
            )
        for i, (name, size) in enumerate(zip(self.names, self.sizes, strict=True)):
            _check(f"{self.name}: the factor {name}", factors[..., i], size)
        return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(factors, -1, 0)), self.sizes))

    def classes(self, **values: Any) -> dict[str, int]:
        """Returns the class of each value, by the factor's name. Raises `ValueError` for an unknown value."""
        found = {}
        for name, value in values.items():
            among = self.values[self._known(name)]
            near = among == str(value) if among.dtype.kind == "U" else np.isclose(among, value)
            if not near.any():
                raise ValueError(
                    f"{self.name}: {name} has no value {value!r}; allowed are {', '.join(map(str, among))}"
                )
            found[name] = int(near.argmax())
        return found

    def sample(
        self, seed: int | Sequence[int], n: int, **fixed: int | Int[Array | np.ndarray, "n"]
    ) -> Int[np.ndarray, "n k"]:
        """Draws the factors of n examples, uniform and independent: a pure function of the seed.

        A factor in `fixed` is not drawn but has the class given there: one for all, or one for each example.
        """
        # NumPy keeps raw bits the same in all versions, as in `ordering`.
        bits = np.random.PCG64(seed).random_raw(n * len(self.sizes)).reshape(n, len(self.sizes))
        factors = (bits % np.array(self.sizes, np.uint64)).astype(np.int32)
        for name, value in fixed.items():
            factors[:, self.names.index(self._known(name))] = value
        self.index(factors)
        return factors

    def images(self, factors: Int[Array | np.ndarray, "n k"]) -> UInt8[np.ndarray, "n h w c"]:
        """Returns the images of `factors`. Raises `ValueError` for a factor out of range."""
        self.index(factors)
        return np.asarray(self.render(factors))

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"{self.name} has no factor {name!r}; it has {', '.join(self.names)}")
        return name


def _check(what: str, values: np.ndarray, size: int) -> None:
    wrong = values[(values < 0) | (values >= size)]
    if wrong.size:
        raise ValueError(f"{what} is {wrong.flat[0]}; allowed is 0 to {size - 1}")
