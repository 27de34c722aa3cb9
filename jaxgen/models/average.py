"""The moving average of parameters, by which models sample and are measured."""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

__all__ = ["moving_average"]


def moving_average(average: Any, params: Any, decay: float, step: Array) -> Any:
    """Returns d average + (1 - d) params, trees of one form, after step t, counted from 0.

    d is `decay`, but at most (1 + t) / (10 + t), so that short runs forget their start too (as TensorFlow's
    ExponentialMovingAverage with `num_updates`).
    """
    return optax.incremental_update(params, average, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))
