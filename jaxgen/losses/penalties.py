"""Penalties that keep a discriminator tame; most of them bound its gradient.

    gan = GAN(..., penalties=(Penalty(r1, weight=10.0, every=16), Penalty(r2, weight=10.0, every=16)))

The function of a penalty maps (critic, key, real, fake) to a scalar. `critic` maps a batch of examples to their logits;
where an example has several logits, one for each patch, a slope is that of their sum. Examples may have any shape after
the batch axis. Norms run over all of those axes, one norm for each example.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.schedules import Scheduled, value_at

__all__ = [
    "Penalty",
    "PenaltyFunction",
    "consistency",
    "dragan",
    "gradient_penalty",
    "one_sided_gradient_penalty",
    "penalise",
    "r1",
    "r2",
]

Examples = Float[Array, "b ..."]
Critic = Callable[[Examples], Float[Array, "..."]]
Scalar = Float[Array, ""]
PenaltyFunction = Callable[[Critic, Key[Array, ""], Examples, Examples], Scalar]


@dataclass(frozen=True)
class Penalty:
    """A term of the discriminator's loss."""

    function: PenaltyFunction
    """(critic, key, real, fake) -> scalar, such as `r1`."""
    weight: Scheduled = 10.0
    """λ or γ: a number, a traced array, or an optax schedule of the model's step."""
    every: int = 1
    """k: the penalty is computed at every k-th step of the model only, and weighed k times there (lazy regularisation,
    Karras et al. 2020, appendix B of arXiv:1912.04958). The steps that compute it are 0, k, 2k, …"""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every={self.every}: at least 1 is needed")

    @property
    def name(self) -> str:
        """The function's name, which the metric of the penalty has where there are several."""
        return getattr(self.function, "__name__", type(self.function).__name__)


def penalise(
    penalties: Sequence[Penalty],
    step: Array,
    critic: Critic,
    key: Key[Array, ""],
    real: Examples,
    fake: Examples,
) -> tuple[Scalar | float, dict[str, Array]]:
    """Returns the weighed sum of the penalties at a step of the model, and their metrics.

    The metric of one penalty is `penalty`, those of several are `penalty_<name of the function>`. A lazy penalty's is
    k times its value at every k-th step and 0 at the others, so its mean over steps is that of the penalty. ValueError
    where two of several penalties have the same name.
    """
    names = [penalty.name for penalty in penalties]
    if len(set(names)) < len(names):
        raise ValueError(f"penalties {', '.join(names)}: each needs a name of its own, for its metric")
    if not penalties:
        return 0.0, {}
    total, metrics = 0.0, {}
    keys = [key] if len(penalties) == 1 else jax.random.split(key, len(penalties))
    for penalty, own_key in zip(penalties, keys, strict=True):

        def compute(penalty=penalty, own_key=own_key):
            return penalty.function(critic, own_key, real, fake)

        if penalty.every == 1:
            value = compute()
        else:
            k, nothing = penalty.every, jnp.zeros((), jax.eval_shape(compute).dtype)
            value = jax.lax.cond(step % k == 0, lambda compute=compute, k=k: k * compute(), lambda x=nothing: x)
        total = total + value_at(penalty.weight, step) * value
        metrics["penalty" if len(penalties) == 1 else f"penalty_{penalty.name}"] = value
    return total, metrics


def _gradient_norms(critic: Critic, examples: Examples) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """||∇D(x)||² and ||∇D(x)|| of each example. A zero gradient has norm 0 and passes on the gradient 0, not NaN."""
    gradient = jax.grad(lambda x: critic(x).sum())(examples)
    squares = jnp.square(gradient).sum(axis=range(1, gradient.ndim))
    zero = squares == 0
    return squares, jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squares)))


def _mix(key: Key[Array, ""], a: Examples, b: Examples) -> Examples:
    """Returns ε a + (1 - ε) b with ε ~ U(0, 1), one for each example."""
    weight = jax.random.uniform(key, (len(a), *[1] * (a.ndim - 1)))
    return weight * a + (1 - weight) * b


def gradient_penalty(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns E[(||∇D(x̂)|| - 1)²] on lines between real and fake examples (Gulrajani et al. 2017, eq. 3; λ = 10)."""
    _, norm = _gradient_norms(critic, _mix(key, real, fake))
    return jnp.square(norm - 1).mean()


def one_sided_gradient_penalty(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns E[max(0, ||∇D(x̂)|| - 1)²]: only slopes above 1 cost.

    See Gulrajani et al. 2017, section 4, and Petzka et al. 2018.
    """
    _, norm = _gradient_norms(critic, _mix(key, real, fake))
    return jnp.square(jax.nn.relu(norm - 1)).mean()


def r1(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns ½ E[||∇D(x)||²] on real examples (Mescheder et al. 2018, eq. 9; the weight is their γ)."""
    return 0.5 * _gradient_norms(critic, real)[0].mean()


def r2(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns ½ E[||∇D(G(z))||²] on fake examples (Mescheder et al. 2018, eq. 10)."""
    return 0.5 * _gradient_norms(critic, fake)[0].mean()


def dragan(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns E[(||∇D(x + α δ)|| - 1)²] around real examples, with α ~ U(0, 1) and δ ~ ½ std(x) U(0, 1).

    An example has one α, and each of its values a δ of its own (Kodali et al. 2017, section 2.3, and their published
    settings; λ = 10).
    """
    mix_key, noise_key = jax.random.split(key)
    noise = 0.5 * real.std() * jax.random.uniform(noise_key, real.shape)
    _, norm = _gradient_norms(critic, _mix(mix_key, real + noise, real))
    return jnp.square(norm - 1).mean()


def consistency(critic: Critic, key: Key[Array, ""], real: Examples, fake: Examples) -> Scalar:
    """Returns E[(D(x) - D(T(x)))²] (Zhang et al. 2020, section 2.2; λ = 10).

    T mirrors images and moves them by up to an eighth of their sides, as in the paper. Other examples get noise of a
    hundredth of their standard deviation.
    """
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
