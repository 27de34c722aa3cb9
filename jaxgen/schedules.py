"""Numbers that may change in the course of training, such as the weight of a loss."""

from collections.abc import Callable

from jaxtyping import Array

__all__ = ["Scheduled", "value_at"]

Scheduled = float | int | Array | Callable[[Array], Array]
"""A number, a traced array, or an optax schedule: a function of the step."""


def value_at(value: Scheduled, step: Array) -> float | int | Array:
    """Returns the value at a step: what the schedule gives, or the number itself."""
    return value(step) if callable(value) else value
