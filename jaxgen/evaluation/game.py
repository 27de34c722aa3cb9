"""The local dynamics of a small game: the eigenvalues of the Jacobian of its gradient field.

eigenvalues = game_eigenvalues(gan, state, batch)        # for a GAN of up to 5,000 parameters
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float

from jaxgen.models import GAN
from jaxgen.types import Batch, State

__all__ = ["game_eigenvalues", "game_jacobian"]

LARGEST = 5000  # parameters: the eigenvalues of n take O(n³), minutes here


def game_jacobian(vector_field: Callable[[Any], Any], parameters: Any) -> Float[Array, "n n"]:
    """Returns ∂vᵢ/∂wⱼ of the simultaneous gradient field v(w) = (-∇_θ L_G, -∇_φ L_D) of all parameters w = (θ, φ),
    flattened (Mescheder et al. 2017, section 2.2): one `jvp` for each basis vector, some hundreds at a time.

    About an equilibrium an eigenvalue with a positive real part is an instability, an imaginary part a rotation; a
    step of size h multiplies by 1 + h λ, so a purely imaginary λ makes simultaneous descent spiral outwards.
    """
    flat, unravel = ravel_pytree(parameters)

    def field(w: Array) -> Array:
        return ravel_pytree(vector_field(unravel(w)))[0]

    columns = jax.lax.map(lambda e: jax.jvp(field, (flat,), (e,))[1], jnp.eye(len(flat)), batch_size=256)
    return columns.T


def game_eigenvalues(gan: GAN, state: State, batch: Batch, seed: int = 0) -> Complex[np.ndarray, "n"]:
    """Returns the eigenvalues of the Jacobian of a GAN's game at `state`, on this batch and one draw of the noise.

    ValueError for a game of more than 5,000 parameters.
    """
    parameters = {"generator": state.generator.params, "discriminator": state.discriminator.params}
    n = sum(x.size for x in jax.tree.leaves(parameters))
    if n > LARGEST:
        raise ValueError(f"the game has {n:,} parameters: eigenvalues are computed of up to {LARGEST:,}")
    field = gan.vector_field(state, batch, jax.random.key(seed))
    jacobian = jax.jit(lambda p: game_jacobian(field, p))(parameters)
    return np.linalg.eigvals(np.asarray(jacobian)).astype(complex)
