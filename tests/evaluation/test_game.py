"""Eigenvalues of games in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.evaluation import diagnose, game_eigenvalues, game_jacobian
from jaxgen.models import GAN
from jaxgen.networks import PointDiscriminator, PointGenerator


def test_bilinear_game_rotates():
    """min_x max_y x y: the field (-y, x) has eigenvalues ±i at every point."""
    point = {"x": jnp.float32(0.3), "y": jnp.float32(-2.0)}
    jacobian = game_jacobian(lambda p: {"x": -p["y"], "y": p["x"]}, point)
    np.testing.assert_array_equal(jacobian, [[0, -1], [1, 0]])
    found = diagnose([], eigenvalues=np.linalg.eigvals(jacobian))
    assert found.evidence["largest_imaginary_part"] == pytest.approx(1)
    assert found.evidence["largest_real_part"] == pytest.approx(0)


def test_jacobian_equals_jacfwd():
    def field(p):
        return {"a": jnp.tanh(p["b"] @ p["a"]), "b": jnp.outer(p["a"][:2], jnp.sin(p["a"])) * p["b"]}

    keys = jax.random.split(jax.random.key(0))
    point = {"a": jax.random.normal(keys[0], (3,)), "b": jax.random.normal(keys[1], (2, 3))}
    field_of_one_shape = lambda p: {"a": jnp.append(field(p)["a"], p["a"].sum()), "b": field(p)["b"]}  # noqa: E731
    flat, unravel = jax.flatten_util.ravel_pytree(point)
    expected = jax.jacfwd(lambda w: jax.flatten_util.ravel_pytree(field_of_one_shape(unravel(w)))[0])(flat)
    np.testing.assert_allclose(game_jacobian(field_of_one_shape, point), expected, rtol=1e-5, atol=1e-6)


class Dirac(nn.Module):
    """G(z) = θ, starting at the data's only point, 0."""

    @nn.compact
    def __call__(self, latent, label=None, *, train=False):
        return jnp.zeros((len(latent), 1)) + self.param("theta", nn.initializers.zeros, ())


class Slope(nn.Module):
    """D(x) = ψ x, starting at the equilibrium ψ = 0."""

    @nn.compact
    def __call__(self, image, label=None, *, train=False):
        return image[:, 0] * self.param("psi", nn.initializers.zeros, ())


@pytest.mark.parametrize(("loss", "slope"), [("minimax", 0.5), ("non_saturating", 0.5), ("wasserstein", 1.0)])
@pytest.mark.parametrize("weight", [0.0, 0.3, 4.0])
def test_dirac_gan(loss, slope, weight):
    """Mescheder et al. 2018: ±f'(0) i without a penalty (Lemma 2.3), and -γ/2 ± √(γ²/4 - f'(0)²) with R1
    (Lemma 3.2); f'(0) is ½ for the cross entropy and 1 for the Wasserstein loss."""
    options = {"penalty": "r1", "penalty_weight": weight} if weight else {}
    gan = GAN(Dirac(), Slope(), optax.adam(1e-3), optax.adam(1e-3), loss, latent=1, **options)
    batch = {"image": jnp.zeros((4, 1))}
    eigenvalues = game_eigenvalues(gan, gan.init(jax.random.key(0), batch), batch)
    root = np.sqrt(complex(weight**2 / 4 - slope**2))
    expected = np.array([-weight / 2 + root, -weight / 2 - root])
    np.testing.assert_allclose(np.sort_complex(eigenvalues), np.sort_complex(expected), atol=1e-6)


def test_eigenvalues_of_a_game_of_networks():
    """Of a zero-sum game the trace is that of the two Hessians' difference: without curvature of its own, none."""
    options = {"hidden": (4,), "activation": nn.tanh}
    gan = GAN(PointGenerator(**options), PointDiscriminator(**options), optax.sgd(1.0), optax.sgd(1.0), latent=2)
    batch = {"image": jax.random.normal(jax.random.key(1), (8, 2))}
    state = gan.init(jax.random.key(0), batch)
    eigenvalues = game_eigenvalues(gan, state, batch)
    assert len(eigenvalues) == 22 + 17
    assert np.isfinite(eigenvalues).all()
    assert np.sum(eigenvalues).imag == pytest.approx(0, abs=1e-4)


def test_a_game_too_large_for_eigenvalues_says_so():
    gan = GAN(PointGenerator(hidden=(128,) * 2), PointDiscriminator(), optax.sgd(1.0), optax.sgd(1.0))
    batch = {"image": jnp.zeros((4, 2))}
    with pytest.raises(ValueError, match="up to 5,000"):
        game_eigenvalues(gan, gan.init(jax.random.key(0), batch), batch)
