"""Links of optimisers that optax lacks: weights that are clipped, and kernels that are kept orthogonal."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

__all__ = ["add_orthogonal_regularisation", "clip_weights", "orthogonality"]


def orthogonality(params: Any) -> Float[Array, ""]:
    """Returns Σ ||Wᵀ W ∘ (1 - I)||² over the kernels, each as a matrix (inputs, outputs) (Brock et al. 2019, eq. 3).

    The diagonal does not count, so the norms of the columns stay free. ValueError where no leaf is called `kernel`.
    """
    kernels = [
        leaf.reshape(-1, leaf.shape[-1])
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if path[-1] == jax.tree_util.DictKey("kernel")
    ]
    if not kernels:
        raise ValueError("orthogonality: the parameters have no leaf called 'kernel'")

    def off_diagonal(w):
        if w.shape[0] < w.shape[1]:  # ||W Wᵀ|| = ||Wᵀ W||, of a smaller matrix
            return jnp.square(w @ w.T).sum() - jnp.square(jnp.square(w).sum(0)).sum()
        gram = w.T @ w
        return jnp.square(gram - jnp.diag(jnp.diag(gram))).sum()

    return jnp.asarray(sum(map(off_diagonal, kernels)))


def add_orthogonal_regularisation(weight: float) -> optax.GradientTransformation:
    """Returns the first link of an optimiser, which adds the gradient of weight × `orthogonality`.

    Brock et al. 2019 have β = 1e-4: `optax.chain(add_orthogonal_regularisation(1e-4), optax.adam(5e-5))`.
    """
    gradient = jax.grad(orthogonality)
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u, g: u + weight * g, updates, gradient(params)))


def clip_weights(limit: float) -> optax.GradientTransformation:
    """Returns the last link of an optimiser: after the update every parameter lies in [-limit, limit].

    Arjovsky et al. 2017, Algorithm 1: `optax.chain(optax.rmsprop(5e-5), clip_weights(0.01))`. ValueError where the
    limit is not positive.
    """
    if not limit > 0:
        raise ValueError(f"clip_weights({limit}): a positive limit is needed")

    def update(updates, params):
        # The sum in `optax.apply_updates` rounds, by less than one part in 10⁷ of the limit.
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params)

    return optax.stateless(update)
