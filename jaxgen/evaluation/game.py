"""The local dynamics of a small game: the eigenvalues of the Jacobian of its gradient field.

eigenvalues = game_eigenvalues(gan, state, batch)        # for a GAN of up to 5,000 parameters
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float, Key, PyTree

from jaxgen.models import GAN
from jaxgen.models.player import in_training
from jaxgen.types import Batch, State

__all__ = ["game_eigenvalues", "game_jacobian"]

LARGEST = 5000  # parameters: the eigenvalues of n take O(n³), minutes here


def game_jacobian(vector_field: Callable[[PyTree], PyTree], parameters: PyTree) -> Float[Array, "n n"]:
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
    field = vector_field(gan, state, batch, jax.random.key(seed))
    jacobian = jax.jit(lambda p: game_jacobian(field, p))(parameters)
    return np.linalg.eigvals(np.asarray(jacobian)).astype(complex)


def vector_field(gan: GAN, state: State, batch: Batch, key: Key[Array, ""]) -> Callable[[PyTree], PyTree]:
    """Returns the gradient field of the game as a function of {"generator": θ, "discriminator": φ}, with the noise that
    the key draws and the last minibatch of the batch."""
    players = {"generator": state.generator, "discriminator": state.discriminator}
    image, label = jax.tree.map(lambda x: x[-1], gan._minibatches(batch))
    latent = gan.prior(jax.random.split(jax.random.clone(key))[0], len(image))  # as G's step draws it
    descent = optax.sgd(1.0)  # moves a player by its part of the field

    def field(parameters: PyTree) -> PyTree:
        g, d = (player.replace(params=parameters[name]) for name, player in players.items())
        game = dataclasses.replace(gan, generator_optimiser=descent)
        moved_g, _ = game._generator_step(
            g.replace(optimiser=descent.init(g.params)), d, jax.random.clone(key), image, label, state.probability
        )
        game = dataclasses.replace(gan, discriminator_optimiser=descent)

        def generate(latent, label):
            return in_training(gan.generator, g.variables, latent, label)[0]

        d = d.replace(optimiser=descent.init(d.params))
        moved_d, _ = game._discriminator_step(
            d, jax.random.clone(key), image, latent, label, generate, state.probability
        )
        moved = {"generator": moved_g.params, "discriminator": moved_d.params}
        return jax.tree.map(jnp.subtract, moved, parameters)

    return field
