"""What the VAE experiments evaluate and draw."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from jaxgen.losses import kl_to_standard_normal
from jaxgen.models import VAE
from jaxgen.pixels import normalise
from jaxgen.report import image_grid, plot_scatter, save_image

SHOWN = 2000  # points of the scatter plot
BATCH = 500
ACTIVE = 0.01  # nats of KL from which a latent unit counts as used


def vae_evaluator(config, model: VAE, train, test) -> Callable:
    """Means over the test set: the ELBO and its terms, the squared error of reconstructions in [0, 1] pixels, and with
    `importance_samples` the negative log-likelihood estimated with so many; and the number of latent units in use."""
    samples = config.importance_samples
    chunk = next(n for n in (50, 40, 25, 20, 10, 5, 4, 2, 1) if samples % n == 0) if samples else 1

    @jax.jit
    def figures(state, key, batch):
        elbo_key, likelihood_key = jax.random.split(key)
        terms = model.elbo(state, elbo_key, batch)
        label = batch["label"] if model.classes else None
        error = (model.reconstruct(state, batch["image"], label) - normalise(batch["image"])) / 2
        sums = {
            "test_elbo": terms.elbo.sum(),
            "test_kl": terms.kl.sum(),
            "test_log_likelihood": terms.log_likelihood.sum(),
            "test_reconstruction_mse": jnp.square(error).mean((1, 2, 3)).sum(),
            "test_kl_per_unit": terms.kl_per_unit.sum(0),
        }
        if samples:
            bound = model.log_likelihood(state, likelihood_key, batch, samples, chunk)
            sums[f"test_nll_{samples}_samples"] = -bound.sum()
        return sums

    def evaluate(state) -> dict[str, float]:
        keys = iter(jax.random.split(jax.random.key(0), -(-len(test) // BATCH)))
        totals = [jax.device_get(figures(state, next(keys), batch)) for batch in test.batches(BATCH)]
        means = {name: sum(np.float64(t[name]) for t in totals) / len(test) for name in totals[0]}
        active = (means.pop("test_kl_per_unit") > ACTIVE).sum()
        return {**{name: float(mean) for name, mean in means.items()}, "active_units": float(active)}

    return evaluate


def draw_latent_space(config, model: VAE, state, train, test, run: Path) -> None:
    """Reconstructions, interpolations, the scatter of posterior means by class, and for 2 units the manifold."""
    shown = test.batch(np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(int))
    image = jnp.asarray(shown["image"])
    label = jnp.asarray(shown["label"]) if "label" in shown else None
    given = label if model.classes else None

    mean, _ = jax.jit(model.encode)(state, image, given)
    decode = jax.jit(model.decode)

    # the two units that vary most are the ones in use
    first, second = np.argsort(-np.asarray(mean).std(0))[:2] if model.latent > 1 else (0, 0)
    plot_scatter(
        run / "latent_scatter.png",
        np.asarray(mean)[:, [first, second]],
        None if label is None else np.asarray(label),
        test.label_names,
        "posterior means of the test set",
        (f"latent {first}", f"latent {second}"),
    )

    chosen = np.linspace(0, len(image) - 1, 32).astype(int)  # the data may be in the order of the classes
    image, mean, given = jax.tree.map(lambda x: x[chosen], (image, mean, given))
    pairs = jnp.stack([normalise(image), decode(state, mean, given)], axis=1)
    save_image(run / "reconstructions.png", image_grid(pairs.reshape(-1, *image.shape[1:]), 8))

    weight = jnp.linspace(0, 1, 10)[None, :, None]
    path = mean[:8, None] * (1 - weight) + mean[-8:, None] * weight
    labels = None if given is None else jnp.repeat(given[:8], 10)
    save_image(run / "interpolations.png", image_grid(decode(state, path.reshape(-1, model.latent), labels), 10))

    if model.latent == 2 and not model.classes:
        side = norm.ppf(jnp.linspace(0.03, 0.97, 20))
        plane = jnp.stack(jnp.meshgrid(side, side[::-1]), -1).reshape(-1, 2)
        save_image(run / "manifold.png", image_grid(decode(state, plane), 20, gap=0))


def draw_traversals(config, model: VAE, state, train, test, run: Path) -> None:
    """One row a latent unit, the most used first: the unit goes from -3 to 3, the others stay at one image's code."""
    shown = test.batch(np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(int))
    label = jnp.asarray(shown["label"]) if model.classes else None
    mean, scale = jax.jit(model.encode)(state, jnp.asarray(shown["image"]), label)
    used = jnp.argsort(kl_to_standard_normal(mean, scale).mean(0), descending=True)
    values = jnp.linspace(-3, 3, 10)
    codes = jax.vmap(lambda unit: jax.vmap(lambda value: mean[0].at[unit].set(value))(values))(used)
    labels = None if label is None else jnp.repeat(label[:1], codes.shape[0] * codes.shape[1])
    images = jax.jit(model.decode)(state, codes.reshape(-1, model.latent), labels)
    save_image(run / "traversals.png", image_grid(images, len(values)))
