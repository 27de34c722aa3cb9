"""What keeps a discriminator tame: penalties on its gradient, and constraints on its weights.

A penalty is a function (critic, key, real, fake) -> scalar, to be weighed and added to the discriminator's loss;
`critic` maps a batch of examples to logits (b,), and examples may have any shape after the batch axis. Norms run over
all of those axes, one norm an example.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

__all__ = ["PENALTIES", "Penalty", "add_orthogonal_regularisation", "clip_weights", "orthogonality"]

Examples = Float[Array, "b ..."]
Critic = Callable[[Examples], Float[Array, "..."]]
Scalar = Float[Array, ""]
Penalty = Callable[[Critic, Key[Array, ""], Examples, Examples], Scalar]


def _gradient_norms(critic: Critic, examples: Examples) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """||∇D(x)||² and ||∇D(x)|| of each example. A zero gradient has norm 0 and passes on the gradient 0, not NaN."""
    gradient = jax.grad(lambda x: critic(x).sum())(examples)
    squares = jnp.square(gradient).sum(axis=range(1, gradient.ndim))
    zero = squares == 0
    return squares, jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squares)))


def _mix(key: Key[Array, ""], a: Examples, b: Examples) -> Examples:
    """ε a + (1 - ε) b with ε ~ U(0, 1), one for each example."""
    weight = jax.random.uniform(key, (len(a), *[1] * (a.ndim - 1)))
    return weight * a + (1 - weight) * b


def gradient_penalty(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """E[(||∇D(x̂)|| - 1)²] on lines between real and fake examples (Gulrajani et al. 2017, eq. 3; λ = 10)."""
    _, norm = _gradient_norms(critic, _mix(key, real, fake))
    return jnp.square(norm - 1).mean()


def one_sided_gradient_penalty(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """E[max(0, ||∇D(x̂)|| - 1)²]: only slopes above 1 cost (Gulrajani et al. 2017, section 4; Petzka et al. 2018)."""
    _, norm = _gradient_norms(critic, _mix(key, real, fake))
    return jnp.square(jax.nn.relu(norm - 1)).mean()


def r1(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """½ E[||∇D(x)||²] on real examples (Mescheder et al. 2018, eq. 9; the weight is their γ)."""
    return 0.5 * _gradient_norms(critic, real)[0].mean()


def r2(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """½ E[||∇D(G(z))||²] on fake examples (Mescheder et al. 2018, eq. 10)."""
    return 0.5 * _gradient_norms(critic, fake)[0].mean()


def dragan(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """E[(||∇D(x + α δ)|| - 1)²] around real examples, α ~ U(0, 1) for each, δ ~ ½ std(x) U(0, 1) for each value
    (Kodali et al. 2017, section 2.3, and their published settings; λ = 10)."""
    mix_key, noise_key = jax.random.split(key)
    noise = 0.5 * real.std() * jax.random.uniform(noise_key, real.shape)
    _, norm = _gradient_norms(critic, _mix(mix_key, real + noise, real))
    return jnp.square(norm - 1).mean()


def consistency(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """E[(D(x) - D(T(x)))²] (Zhang et al. 2020, section 2.2; λ = 10). T mirrors images and moves them by up to an
    eighth of their sides, as in the paper; other examples it disturbs by a hundredth of their standard deviation."""
    return jnp.square(critic(real) - critic(_disturb(key, real))).mean()


def _disturb(key: Key[Array, ""], x: Examples) -> Examples:
    if x.ndim != 4:
        return x + 0.01 * x.std() * jax.random.normal(key, x.shape)
    flip_key, move_key = jax.random.split(key)
    x = jnp.where(jax.random.bernoulli(flip_key, shape=(len(x), 1, 1, 1)), x[:, :, ::-1], x)
    reach = jnp.array([x.shape[1] // 8, x.shape[2] // 8])
    moves = jax.random.randint(move_key, (len(x), 2), -reach, reach + 1)

    def move(image, by):  # what enters at the edge repeats it
        rows, columns = (jnp.clip(jnp.arange(n) - d, 0, n - 1) for n, d in zip(image.shape[:2], by, strict=True))
        return image[rows][:, columns]

    return jax.vmap(move)(x, moves)


PENALTIES: dict[str, Penalty] = {
    "gradient_penalty": gradient_penalty,
    "one_sided_gradient_penalty": one_sided_gradient_penalty,
    "r1": r1,
    "r2": r2,
    "dragan": dragan,
    "consistency": consistency,
}


def orthogonality(params: PyTree) -> Scalar:
    """Σ ||Wᵀ W ∘ (1 - I)||² over the kernels, each as a matrix (inputs, outputs): off the diagonal only, so norms
    stay free (Brock et al. 2019, eq. 3). ValueError where no leaf is called `kernel`."""
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

    return sum(map(off_diagonal, kernels))


def add_orthogonal_regularisation(weight: float) -> optax.GradientTransformation:
    """The first link of an optimiser: adds the gradient of weight × `orthogonality` (β = 1e-4 in Brock et al. 2019):
    `optax.chain(add_orthogonal_regularisation(1e-4), optax.adam(5e-5))`."""
    gradient = jax.grad(orthogonality)
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u, g: u + weight * g, updates, gradient(params)))


def clip_weights(limit: float) -> optax.GradientTransformation:
    """The last link of an optimiser: after the update every parameter lies in [-limit, limit] (Arjovsky et al. 2017,
    Algorithm 1): `optax.chain(optax.rmsprop(5e-5), clip_weights(0.01))`."""
    if not limit > 0:
        raise ValueError(f"clip_weights({limit}): a positive limit is needed")

    def update(updates, params):
        # The sum in `optax.apply_updates` rounds, by less than one part in 10⁷ of the limit.
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params)

    return optax.stateless(update)
