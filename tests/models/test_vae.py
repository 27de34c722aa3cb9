import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.special import logsumexp

from jaxgen.data import load
from jaxgen.losses import Bernoulli, DiscretisedLogistic, Gaussian
from jaxgen.models import VAE
from jaxgen.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from jaxgen.pixels import normalise

SHAPE = (3, 3, 1)


def tiny(latent=1, **options):
    likelihood = options.get("likelihood", Bernoulli())
    classes = options.get("classes", 0)
    decoder = MLPDecoder((*SHAPE[:2], SHAPE[2] * likelihood.outputs), (8,), classes)
    return VAE(MLPEncoder(latent, (8,), classes), decoder, optax.adam(1e-2), **options)


def batch(n=6, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 2, (n, *SHAPE)).astype(np.uint8) * 255
    return {"image": jnp.array(image), "label": jnp.arange(n, dtype=jnp.int32) % 3}


def exact_log_likelihood(vae, state, data):
    """log ∫ p(x | z) N(z; 0, 1) dz by the trapezium rule, for one latent unit."""
    z = jnp.linspace(-8, 8, 4001)[:, None]
    parameters = vae.decoder.apply({"params": state.params["decoder"]}, z)
    image = data["image"].astype(jnp.float32) / 127.5 - 1
    log_joint = jax.vmap(lambda x: vae.likelihood.log_prob(parameters, x[None]))(image)
    log_joint += -0.5 * jnp.square(z[:, 0]) - 0.5 * jnp.log(2 * jnp.pi)
    return logsumexp(log_joint, axis=1) + jnp.log(16 / 4000)


@pytest.fixture(scope="module")
def trained():
    vae, data = tiny(), batch()
    step = jax.jit(vae.step)
    state = vae.init(jax.random.key(0), data)
    for _ in range(300):
        state, metrics = step(state, data)
    return vae, state, data, metrics


def test_importance_weighted_bound_converges_to_the_exact_likelihood(trained):
    vae, state, data, _ = trained
    exact = exact_log_likelihood(vae, state, data)
    found = vae.log_likelihood(state, jax.random.key(1), data, samples=20_000, chunk=1000)
    np.testing.assert_allclose(found, exact, atol=0.03)


def test_bounds_are_ordered(trained):
    """ELBO ≤ IWAE(10) ≤ log p(x) in expectation, strictly here because the posterior is no Gaussian."""
    vae, state, data, _ = trained
    exact = exact_log_likelihood(vae, state, data).mean()
    keys = jax.random.split(jax.random.key(2), 2000)
    elbo = jax.vmap(lambda k: vae.elbo(state, k, data).elbo.mean())(keys).mean()
    more = jax.random.split(jax.random.key(3), 2000)
    with jax.debug_key_reuse(False):  # which sees reuse in every vmap of a scan over keys
        ten = jax.vmap(lambda k: vae.log_likelihood(state, k, data, samples=10).mean())(more).mean()
    assert float(elbo) < float(ten) < float(exact)


def test_chunks_do_not_change_the_estimate(trained):
    vae, state, data, _ = trained
    with pytest.raises(ValueError, match="multiple of chunk"):
        vae.log_likelihood(state, jax.random.key(3), data, samples=70, chunk=50)
    one = vae.log_likelihood(state, jax.random.key(3), data, samples=4000, chunk=4000)
    many = vae.log_likelihood(state, jax.random.key(3), data, samples=4000, chunk=10)
    np.testing.assert_allclose(one, many, atol=0.1)  # other noise, the same quantity


def test_metrics_satisfy_the_identity_of_the_bound(trained):
    *_, metrics = trained
    assert float(metrics["elbo"]) == pytest.approx(float(metrics["log_likelihood"] - metrics["kl"]), rel=1e-5)


def test_step_descends_beta_kl_minus_log_likelihood():
    data = batch()
    vae = tiny(beta=3.0)
    state = vae.init(jax.random.key(0), data)
    _, metrics = vae.step(state, data)
    expected = 3 * metrics["kl"] - metrics["log_likelihood"]
    assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_annealing_follows_the_schedule():
    data = batch()
    vae = tiny(beta=optax.linear_schedule(0.0, 2.0, 4))
    state = vae.init(jax.random.key(0), data)
    for beta in (0.0, 0.5, 1.0):
        state, metrics = vae.step(state, data)
        assert float(metrics["loss"]) == pytest.approx(
            float(beta * metrics["kl"] - metrics["log_likelihood"]), rel=1e-5
        )


def test_beta_may_be_traced_so_a_sweep_is_a_vmap():
    data = batch()
    betas = jnp.array([0.5, 4.0])

    def run(beta):
        vae = dataclasses.replace(tiny(latent=2), beta=beta)
        state = vae.init(jax.random.key(0), data)
        return jax.lax.fori_loop(0, 50, lambda _, s: vae.step(s, data)[0], state).params

    swept = jax.jit(jax.vmap(run))(betas)
    for i, beta in enumerate(betas):
        alone = jax.jit(run)(beta)
        jax.tree.map(lambda many, one, i=i: np.testing.assert_allclose(many[i], one, atol=1e-5), swept, alone)


def test_the_same_state_and_batch_give_the_same_bits():
    data = batch()
    vae = tiny()
    state = vae.init(jax.random.key(0), data)
    step = jax.jit(vae.step)
    again = state.replace(key=jax.random.clone(state.key))
    first, second = step(state, data), step(again, data)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), first[0].params, second[0].params)
    assert all(jax.tree.leaves(same))


def test_dynamic_binarisation_shows_only_black_and_white_and_other_pixels_each_time():
    grey = {"image": jnp.full((4, *SHAPE), 128, jnp.uint8)}
    vae = tiny(binarise=True)
    one, two = (vae.inputs(jax.random.key(seed), grey)[0] for seed in (0, 1))
    assert set(np.unique(one)) == {-1.0, 1.0} and bool((one != two).any())
    many = vae.inputs(jax.random.key(2), {"image": jnp.full((2000, *SHAPE), 64, jnp.uint8)})[0]
    assert float((many == 1).mean()) == pytest.approx(64 / 255, abs=0.01)


def test_conditional_samples_go_through_the_classes_and_depend_on_them():
    data = batch()
    vae = tiny(latent=2, classes=3)
    state = vae.init(jax.random.key(0), data)
    key = jax.random.key(1)
    images = vae.sample(state, key, 6)
    labels = jnp.arange(6, dtype=jnp.int32) % 3
    np.testing.assert_array_equal(images, vae.sample(state, jax.random.clone(key), 6, labels))
    assert bool((images != vae.sample(state, jax.random.clone(key), 6, 0 * labels)).any())


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(), Gaussian(0.2), DiscretisedLogistic()])
def test_every_likelihood_learns_the_digits(likelihood):
    """In 150 steps the bound improves on that of the best constant image by far more than its noise."""
    train = load("digits")
    shape = (8, 8, likelihood.outputs)
    vae = VAE(ConvEncoder(8, width=8), ConvDecoder(shape, width=8), optax.adam(3e-3), likelihood)
    data = {"image": jnp.array(train.arrays["image"][:256])}
    state = vae.init(jax.random.key(0), data)

    @jax.jit
    def train_on(state):
        return jax.lax.fori_loop(0, 150, lambda _, s: vae.step(s, data)[0], state)

    before = vae.elbo(state, jax.random.key(1), data).elbo.mean()
    state = train_on(state)
    after = vae.elbo(state, jax.random.key(1), data).elbo.mean()
    image = data["image"].astype(jnp.float32) / 127.5 - 1
    error = jnp.square(vae.reconstruct(state, data["image"]) - image).mean()
    assert float(after) > float(before) + 10
    assert float(error) < 0.6 * float(jnp.square(image - image.mean(0)).mean())


def test_wrong_decoder_is_refused_by_name():
    vae = dataclasses.replace(tiny(), decoder=MLPDecoder((4, 4, 1)))
    with pytest.raises(ValueError, match=r"decoder makes \(4, 4, 1\)"):
        vae.init(jax.random.key(0), batch())


def test_classes_by_bayes_rule():
    vae = tiny(classes=3)
    data = batch()
    state = vae.init(jax.random.key(0), data)
    step = jax.jit(vae.step)
    for _ in range(30):
        state, _ = step(state, data)
    log_prior = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    found = vae.classify(state, jax.random.key(1), data["image"], 5000, log_prior)
    log_likelihood = [
        vae.log_likelihood(state, jax.random.key(2 + y), {**data, "label": jnp.full(6, y)}, 5000) for y in range(3)
    ]
    expected = jax.nn.log_softmax(jnp.stack(log_likelihood, axis=1) + log_prior, axis=1)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert float(jnp.ptp(found)) > 0.1
    with pytest.raises(ValueError, match="only a conditional model"):
        tiny().classify(state, jax.random.key(5), data["image"])


def test_completion_keeps_what_is_seen_and_fills_in_what_goes_with_it():
    """Of two images, each one's upper half calls for its own lower half and not for the other's."""
    black, white = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)
    data = {"image": jnp.array(np.stack([black, white] * 8))}
    vae = tiny(latent=2)
    state = jax.jit(vae.init)(jax.random.key(0), data)
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 300, lambda _, s: vae.step(s, data)[0], state))(state)
    mask = jnp.zeros(SHAPE).at[:1].set(1)
    mangled = jnp.where(mask > 0, normalise(data["image"]), -normalise(data["image"]))  # the unseen part is no help
    made = jax.jit(vae.complete)(state, jax.random.key(1), mangled, mask)
    np.testing.assert_array_equal(made[:, :1], normalise(data["image"])[:, :1])
    assert float(jnp.abs(made[:, 1:] - normalise(data["image"])[:, 1:]).mean()) < 0.2
