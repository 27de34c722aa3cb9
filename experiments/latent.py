"""What the VAE experiments evaluate and draw."""

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Float, Int

from jaxgen.data import FactorWorld, factor_world, order
from jaxgen.latent import slerp
from jaxgen.losses import kl_to_standard_normal
from jaxgen.metrics import disentanglement_scores, mutual_information
from jaxgen.metrics.representation import ROWS, represented
from jaxgen.models import VAE
from jaxgen.pixels import normalise
from jaxgen.report import (
    image_grid,
    plot_heat_map,
    plot_kl_per_unit,
    plot_scatter,
    save_animation,
    save_image,
)
from jaxgen.sharding import replicated, sharded
from jaxgen.training import data_mesh

SHOWN = 2000  # test examples that are looked at
SAMPLED = 5000  # and training examples, for what is told of their factors
BINS = 20
BATCH = 500
ACTIVE = 0.01  # nats of KL from which a latent unit counts as used


def vae_evaluator(config, model: VAE, train, test) -> Callable:
    """Means over the test set: the ELBO and its terms, the squared error of reconstructions in [0, 1] pixels, and with
    `importance_samples` the negative log-likelihood estimated with so many; and the number of latent units in use. With
    `factor_points`, of an unconditional model and a source whose factors are known, also its disentanglement."""
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

    measure = None
    if config.factor_points and not model.classes:
        with contextlib.suppress(ValueError):  # a source without known factors
            world = factor_world(config.source, image_size=config.image_size, channels=config.channels)
            measure = disentanglement_evaluator(model, world, config.factor_points)

    def evaluate(state) -> dict[str, float]:
        keys = iter(jax.random.split(jax.random.key(0), -(-len(test) // BATCH)))
        totals = [jax.device_get(figures(state, next(keys), batch)) for batch in test.batches(BATCH)]
        means = {name: sum(np.float64(t[name]) for t in totals) / len(test) for name in totals[0]}
        active = (means.pop("test_kl_per_unit") > ACTIVE).sum()
        means = {name: float(mean) for name, mean in means.items()}
        return {**means, **(measure(state) if measure else {}), "active_units": float(active)}

    return evaluate


def disentanglement_evaluator(model: VAE, world: FactorWorld, points: int) -> Callable:
    """All figures of `disentanglement_scores`, of the posterior means of the world's images; by `points` that are
    fitted to and half as many others."""
    mesh = data_mesh(math.gcd(ROWS, len(jax.devices())))
    encode = jax.jit(lambda state, image: model.encode(state, image)[0], out_shardings=replicated(mesh))
    test = points // 2
    at_random = 192 * (points + test)  # images that the two scores by interventions ask for

    def evaluate(state) -> dict[str, float]:
        state = jax.device_put(state, replicated(mesh))

        def represent(factors):
            images = world.render(jax.device_put(factors, sharded(mesh)))
            return encode(state, jax.device_put(images, sharded(mesh)))

        def look_up(factors):
            return codes[world.index(factors)]

        if whole := len(world) < at_random:
            codes = represented(represent, world.factors(np.arange(len(world))))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "factors .* take one value only")  # the colour of sprites
            return disentanglement_scores(look_up if whole else represent, world.sizes, train=points, test=test)

    return evaluate


def draw_latent_space(config, model: VAE, state, train, test, run: Path) -> None:
    """The KL term of each unit, the scatter of posterior means by class, reconstructions, interpolations, traversals,
    for 2 units the manifold; of data with labels or known factors also what the units tell of them, and arithmetic."""
    encode, decode_flat = jax.jit(model.encode), jax.jit(model.decode)

    def look(data, index, shown) -> tuple[Codes, np.ndarray]:
        """The codes of the examples `index`, and the images of those of them at the places `shown`."""

        def posterior(image, label):
            return encode(state, image, label if model.classes else None)

        return codes_of(posterior, data, index, shown)

    def decode(z, label):
        """The images of any array of codes and the labels that go with them."""
        labels = np.broadcast_to(label, z.shape[:-1]).reshape(-1)
        images = decode_flat(state, z.reshape(-1, model.latent), labels if model.classes else None)
        return np.asarray(images).reshape(*z.shape[:-1], *images.shape[1:])

    index = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(int)
    some = np.linspace(0, len(index) - 1, 32).astype(int)  # the data may be in the order of the classes
    codes, image = look(test, index, some)
    mean, label = codes.mean[some], codes.label[some]
    kl = codes.kl.mean(0)
    most_used = np.argsort(-kl, kind="stable")
    plot_kl_per_unit(run / "kl_per_unit.png", kl, ACTIVE)
    draw_scatter(codes, test, run)
    pairs = np.stack([image, decode(mean, label)], axis=1)
    save_image(run / "reconstructions.png", _grid(pairs.reshape(8, 8, *image.shape[1:]), ("image", "decoded") * 4))
    draw_interpolations(decode, mean, label, run)
    draw_traversals(decode, mean[0], label[0], kl, most_used, run)
    if model.latent == 2 and not model.classes:
        side = norm.ppf(np.linspace(0.03, 0.97, 20))
        plane = np.stack(np.meshgrid(side, side[::-1]), -1)
        save_image(run / "manifold.png", image_grid(decode(plane, 0).reshape(-1, *image.shape[1:]), 20, gap=0))

    index = order(0, 0, min(SAMPLED, len(train)), len(train))
    codes, image = look(train, index, np.arange(min(8, len(index))))
    factors = factors_of(config.source, train, codes)
    if factors:
        draw_information(codes, factors, most_used, run)
        draw_arithmetic(decode, image, codes, factors, run)


class Codes(NamedTuple):
    """Examples of a data set with their posteriors."""

    mean: Float[np.ndarray, "n z"]
    kl: Float[np.ndarray, "n z"]
    """Nats of each unit."""
    about: Mapping[str, np.ndarray]
    """What the examples have besides images."""

    @property
    def label(self) -> Int[np.ndarray, "n"]:
        """0 where there is none."""
        return self.about.get("label", np.zeros(len(self.mean), np.int32))


class Factor(NamedTuple):
    """What examples differ in: one of the factors behind them, or their class."""

    name: str
    values: Sequence
    """What each of its classes stands for."""
    classes: Int[np.ndarray, "n"]

    def column(self, value: int) -> str:
        meaning = self.values[value]
        return f"{self.name}\n{meaning if isinstance(meaning, str) else format(meaning, '.2g')}"


def codes_of(
    encode: Callable, data, index: Int[np.ndarray, "n"], shown: Int[np.ndarray, "m"]
) -> tuple[Codes, np.ndarray]:
    """The codes of the examples `index` of the data, and in [-1, 1] the images of those at the places `shown` of it."""
    parts, images = [], {}
    for places in np.array_split(np.arange(len(index)), -(-len(index) // BATCH)):
        batch = data.batch(index[places])
        images |= {place: batch["image"][place - places[0]] for place in places if place in shown}
        mean, scale = encode(batch["image"], batch.get("label"))
        about = {name: value for name, value in batch.items() if value.ndim <= 2}
        parts.append(jax.device_get({"mean": mean, "kl": kl_to_standard_normal(mean, scale), "about": about}))
    codes = Codes(**jax.tree.map(lambda *x: np.concatenate(x), *parts))
    return codes, normalise(np.stack([images[place] for place in shown]))


def factors_of(source: str, data, codes: Codes) -> list[Factor]:
    """The factors behind the images, or of labelled data the class; those that take several values."""
    try:
        values = factor_world(source).values
    except ValueError:  # its factors are not known
        values = {"class": data.label_names} if data.classes else {}
    if "factors" in codes.about:
        columns = codes.about["factors"].T
    else:
        columns = [codes.about["label" if name == "class" else f"label_{name}"] for name in values]
    found = (Factor(name, values[name], column) for name, column in zip(values, columns, strict=True))
    return [factor for factor in found if np.ptp(factor.classes)]


def draw_scatter(codes: Codes, data, run: Path) -> None:
    # the two units that vary most are the ones in use
    first, second = np.argsort(-codes.mean.std(0))[:2] if codes.mean.shape[1] > 1 else (0, 0)
    plot_scatter(
        run / "latent_scatter.png",
        codes.mean[:, [first, second]],
        codes.about.get("label"),
        data.label_names,
        "posterior means of the test set",
        (f"latent {first}", f"latent {second}"),
    )


def draw_interpolations(decode: Callable, mean, label, run: Path) -> None:
    """Between four pairs of images, along the straight line and along the sphere; of a conditional model with the label
    of the first."""
    weight = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    start, end = np.split(mean[::4, None], 2)
    paths = np.stack([(1 - weight) * start + weight * end, jax.jit(slerp)(start, end, weight)], axis=1)
    images = decode(paths.reshape(8, len(weight), -1), label[:16:4].repeat(2)[:, None])
    names = [f"{x:.1f}" for x in weight[:, 0]]
    save_image(run / "interpolations.png", _grid(images, names, ("linear", "spherical") * 4))


def draw_traversals(decode: Callable, mean, label, kl, most_used, run: Path) -> None:
    """One row a latent unit, the most used first: the unit goes from -3 to 3, the others stay at one image's code. The
    animation shows the units in use, or else the first."""
    values = np.linspace(-3, 3, 13)
    codes = np.tile(mean, (len(kl), len(values), 1))
    for row, unit in zip(codes, most_used, strict=True):
        row[:, unit] = values
    images = decode(codes, label)
    rows = [f"unit {unit}\n{kl[unit]:.2g} nats" for unit in most_used]
    save_image(run / "traversals.png", _grid(images, [f"{value:.1f}" for value in values], rows))
    used = max(1, (kl >= ACTIVE).sum())
    names = [f"unit {unit}" for unit in most_used[:used]]
    frames = [image_grid(frame, 10, smallest=48, names=names) for frame in images[:used].swapaxes(0, 1)]
    save_animation(run / "traversals.gif", frames)


def draw_information(codes: Codes, factors: Sequence[Factor], most_used, run: Path) -> None:
    """The mutual information of each unit and factor; none of fewer points than bins."""
    if len(codes.mean) < BINS:
        return
    classes = np.stack([factor.classes for factor in factors], axis=1)
    shares = [np.unique(column, return_counts=True)[1] / len(column) for column in classes.T]
    plot_heat_map(
        run / "mutual_information.png",
        mutual_information(codes.mean, classes, BINS)[most_used],
        [f"unit {unit}" for unit in most_used],
        [f"{factor.name}\n({-(p * np.log(p)).sum():.2f})" for factor, p in zip(factors, shares, strict=True)],
        "what the mean of each latent unit tells of each factor\n(in brackets: all there is to tell, its entropy)",
        "mutual information (nats)",
    )


def draw_arithmetic(decode: Callable, image, codes: Codes, factors: Sequence[Factor], run: Path) -> None:
    """The images of the first codes with one factor changed: code - mean code of its own value + mean code of the new
    value. A conditional model is given the new class too."""
    n, most = len(image), 10 if len(factors) == 1 else 3
    columns, labels, names = [codes.mean[:n]], [codes.label[:n]], ["image", "decoded"]
    for factor in factors:
        labelled = np.array_equal(factor.classes, codes.label)
        there, which = np.unique(factor.classes, return_inverse=True)
        means = np.stack([codes.mean[which == i].mean(0) for i in range(len(there))])
        for i in np.linspace(0, len(there) - 1, min(most, len(there))).astype(int):
            columns.append(codes.mean[:n] - means[which[:n]] + means[i])
            labels.append(np.full(n, there[i]) if labelled else labels[0])
            names.append(factor.column(there[i]))
    images = decode(np.stack(columns, axis=1), np.stack(labels, axis=1))
    save_image(run / "arithmetic.png", _grid(np.concatenate([image[:, None], images], axis=1), names))


def _grid(images: np.ndarray, names: Sequence[str], row_names: Sequence[str] = ()) -> np.ndarray:
    """Of images (rows, columns, h, w, c)."""
    columns = images.shape[1]
    return image_grid(images.reshape(-1, *images.shape[2:]), columns, smallest=48, names=names, row_names=row_names)
