"""Each verdict from records made by hand, whatever figures are absent; eigenvalues of games in closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from PIL import Image

from jaxgen import losses
from jaxgen.diagnose import VERDICTS, diagnose, game_eigenvalues, game_jacobian, missing_of
from jaxgen.models import GAN
from jaxgen.networks import PointDiscriminator, PointGenerator
from jaxgen.report import plot_diagnosis

NAMES = tuple("abcdefgh")
EVEN = [0.12] * 8


def run(steps=30, every=3, shares=lambda t: EVEN, points=True, **changes):
    """Records of a healthy run; `changes` are values, or functions of the time from 0 to 1."""
    values = {
        "discriminator_loss": 1.3,
        "generator_loss": 0.7,
        "discriminator_real": 0.52,
        "discriminator_fake": 0.48,
        "discriminator_accuracy": 0.6,
        "discriminator_gradient_norm": 0.2,
        "generator_gradient_norm": 0.3,
        "diversity": 1.0,
    } | changes
    records = []
    for i in range(1, steps + 1):
        t = i / steps
        now = {name: value(t) if callable(value) else value for name, value in values.items()}
        diversity = now.pop("diversity")
        records.append({"step": 10 * i, **now})
        if i % every == 0:
            share = np.array(shares(t))
            figures = {f"share_{j}": x for j, x in enumerate(share.tolist())}
            found = {"modes_covered" if points else "classes_found": float((share > 0).sum())}
            quality = {"high_quality": float(share.sum()), "reverse_kl": math.inf} if points else {}
            records.append({"step": 10 * i, **figures, **found, **quality, "diversity": diversity})
    return records


SURE = {"discriminator_accuracy": 1.0, "discriminator_real": 1.0, "discriminator_fake": 0.0}
NOWHERE = {"shares": lambda t: [0.0] * 8}

RUNS = {
    "healthy": [
        run(),
        run(points=False),
        run(shares=lambda t: EVEN if t > 0.5 else [0.5] + [0] * 7),  # a start that looked like a failure
        run(shares=lambda t: [0.12] * max(1, round(8 * t)) + [0] * (8 - max(1, round(8 * t)))),  # more and more modes
        run(discriminator_accuracy=0.99, discriminator_real=8.0, discriminator_fake=2.0),  # a Wasserstein critic
        run(**SURE, shares=lambda t: [0.1 * t] * 8),  # a sure D from which G learns
        run(generator_gradient_norm=lambda t: 50 * 1e-3**t),  # a gradient that is small as there is little to learn
    ],
    "vanishing_gradient": [
        run(**SURE, **NOWHERE, generator_gradient_norm=1e-6),
        run(**SURE, **NOWHERE, generator_gradient_norm=lambda t: 10 * 1e-4**t),
        run(**SURE, **NOWHERE, generator_gradient_norm=1e-6, diversity=0.02),
        run(**SURE, points=False, generator_gradient_norm=1e-5),
    ],
    "overpowering_discriminator": [
        run(**SURE, **NOWHERE, generator_loss=12.0),
        run(**NOWHERE, discriminator_accuracy=0.995, discriminator_real=30.0, discriminator_fake=-20.0),
        run(**SURE, points=False),
    ],
    "total_mode_collapse": [
        run(shares=lambda t: [0.9] + [0] * 7),
        run(shares=lambda t: np.eye(8)[int(30 * t) % 8]),  # which hops
        run(**NOWHERE, diversity=0.03),
        run(points=False, shares=lambda t: [1.0] + [0] * 7, diversity=0.5),
    ],
    "partial_mode_collapse": [
        run(shares=lambda t: [0.15] * 6 + [0, 0]),
        run(points=False, shares=lambda t: [0.2] * 4 + [0.001] * 2 + [0.1] * 2),
        run(shares=lambda t: [0.1 + 0.1 * t] * 4 + [0] * 4),  # better samples of the same modes
    ],
    "oscillation": [
        run(shares=lambda t: [0.4, 0.4, 0, 0, 0.1, 0, 0, 0] if round(30 * t) % 2 else [0, 0, 0, 0.1, 0, 0, 0.4, 0.4]),
        run(discriminator_accuracy=lambda t: 0.5 + 0.4 * math.sin(20 * t)),
        run(**NOWHERE, discriminator_accuracy=0.5),  # neither knows where the other is
    ],
    "divergence": [
        run(discriminator_loss=lambda t: math.nan if t > 0.5 else 1.0),
        run(steps=4, generator_gradient_norm=math.inf),  # which is said at once
        run(discriminator_loss=lambda t: -(10 ** (6 * t)), generator_loss=lambda t: 10 ** (6 * t)),
        run(diversity=40.0),
    ],
    "undecided": [run(steps=5), [], [{"step": 10, "diversity": 0.01}]],
}


@pytest.mark.parametrize(("verdict", "records"), [(verdict, one) for verdict, runs in RUNS.items() for one in runs])
def test_verdict(verdict, records):
    found = diagnose(records, NAMES)
    kinds = [{**r, "kind": "train" if "discriminator_loss" in r else "evaluation"} for r in records]
    assert diagnose(kinds, NAMES) == found  # as `read_metrics` gives them
    assert found.verdict == verdict, found
    assert str(found).startswith(f"verdict   {verdict.replace('_', ' ')}")
    assert found.advice in str(found)


@pytest.mark.parametrize(("verdict", "which"), [("partial_mode_collapse", 0), ("divergence", 1), ("undecided", 1)])
@pytest.mark.filterwarnings("error")  # matplotlib warns of a layout that fails
def test_picture(verdict, which, tmp_path):
    records = RUNS[verdict][which]
    plot_diagnosis(tmp_path / "few.png", records, diagnose(records))
    plot_diagnosis(tmp_path / "all.png", records, diagnose(records), np.array([1j, -1j]))
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as more:
        assert more.width > few.width > few.height


def test_every_verdict_is_tested():
    assert set(RUNS) == set(VERDICTS)


def test_missing_modes_are_named():
    records = run(shares=lambda t: [0.15] * 6 + [0.001, 0])
    assert diagnose(records, NAMES).missing == ("g", "h")
    assert diagnose(records).missing == ("mode 6", "mode 7")
    assert diagnose(run(points=False, shares=lambda t: [0] + [1 / 7] * 7)).missing == ("class 0",)
    assert missing_of(np.full(8, 1e-3)) == []  # nearly nothing is in any mode


@pytest.mark.parametrize("verdict", ["vanishing_gradient", "overpowering_discriminator", "oscillation", "divergence"])
def test_step_metrics_alone_are_enough(verdict):
    """Unlabelled images without an evaluator: no figures of samples."""
    records = [record for record in RUNS[verdict][{"oscillation": 1}.get(verdict, 0)] if "discriminator_loss" in record]
    assert diagnose(records).verdict == verdict


def test_samples_alone_are_enough():
    kept = ("step", "diversity")
    for diversity, verdict in [(0.05, "total_mode_collapse"), (0.3, "partial_mode_collapse"), (0.95, "healthy")]:
        records = run(diversity=diversity)
        records = [{name: r[name] for name in kept} for r in records if "diversity" in r]
        assert diagnose(records).verdict == verdict


def test_a_wasserstein_critic_that_is_sure_is_no_evidence_without_samples():
    records = run(discriminator_accuracy=1.0, discriminator_real=30.0, discriminator_fake=-10.0)
    assert diagnose([record for record in records if "discriminator_loss" in record]).verdict == "healthy"


def test_a_figure_computed_twice_counts_once():
    records = run(shares=lambda t: np.eye(8)[int(30 * t) % 4] * 0.5 + np.eye(8)[int(30 * t) % 4 + 4] * 0.4)
    assert diagnose([*records, records[-1], records[-1], records[-1]], NAMES) == diagnose(records, NAMES)


def test_many_modes_without_a_histogram():
    names = tuple(map(str, range(1000)))
    for covered, verdict in [(980, "healthy"), (300, "partial_mode_collapse")]:
        records = [r | ({"modes_covered": float(covered)} if "diversity" in r else {}) for r in run()]
        records = [{k: v for k, v in r.items() if "share" not in k and k != "high_quality"} for r in records]
        assert diagnose(records, names).verdict == verdict


def test_fid_that_falls_is_learning():
    for rate, verdict in [(3.0, "healthy"), (0.0, "overpowering_discriminator")]:
        records = run(points=False, **SURE)
        records = [r | ({"fid": 200 * math.exp(-rate * r["step"] / 300)} if "diversity" in r else {}) for r in records]
        assert diagnose(records, NAMES).verdict == verdict


def test_bilinear_game_rotates():
    """min_x max_y x y: the field (-y, x) has eigenvalues ±i at every point."""
    point = {"x": jnp.float32(0.3), "y": jnp.float32(-2.0)}
    jacobian = game_jacobian(lambda p: {"x": -p["y"], "y": p["x"]}, point)
    np.testing.assert_array_equal(jacobian, [[0, -1], [1, 0]])
    found = diagnose(run(), eigenvalues=np.linalg.eigvals(jacobian))
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


@pytest.mark.parametrize(
    ("loss", "slope"), [(losses.minimax, 0.5), (losses.non_saturating, 0.5), (losses.wasserstein, 1.0)]
)
@pytest.mark.parametrize("weight", [0.0, 0.3, 4.0])
def test_dirac_gan(loss, slope, weight):
    """Mescheder et al. 2018: ±f'(0) i without a penalty (Lemma 2.3), and -γ/2 ± √(γ²/4 - f'(0)²) with R1
    (Lemma 3.2); f'(0) is ½ for the cross entropy and 1 for the Wasserstein loss."""
    options = {"penalties": (losses.Penalty(losses.r1, weight),)} if weight else {}
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
