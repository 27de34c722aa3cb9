"""Figures of models with a latent space: the ELBO of a VAE and its terms, the latent units in use, disentanglement; and
the codes of examples, of which pictures are made."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxgen.data import Dataset, FactorWorld, StreamedDataset
from jaxgen.evaluation.likelihood import means_over
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.losses import kl_to_standard_normal
from jaxgen.metrics import disentanglement_scores
from jaxgen.metrics.representation import ROWS, represented
from jaxgen.models import VAE
from jaxgen.pixels import normalise
from jaxgen.sharding import data_mesh, replicated, sharded
from jaxgen.types import State

__all__ = ["ACTIVE", "Codes", "Factor", "codes_of", "disentanglement_evaluator", "factors_of", "vae_evaluator"]

ACTIVE = 0.01  # nats of KL from which a latent unit counts as used
BATCH = 500
CHUNKS = (50, 40, 25, 20, 10, 5, 4, 2, 1)  # importance samples at once

DataSet = Dataset | StreamedDataset


def vae_evaluator(model: VAE, test: DataSet, *, importance_samples: int = 0) -> Evaluator:
    """Returns an evaluator of means over the test set: the ELBO and its terms in nats, the squared error of
    reconstructions with pixels in [0, 1], and the number of latent units in use.

    With `importance_samples` the negative log-likelihood is estimated too, with that number of samples for each
    example.
    """
    samples = importance_samples
    chunk = next(n for n in CHUNKS if samples % n == 0) if samples else 1

    def sums(state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict[str, Array]:
        elbo_key, likelihood_key = jax.random.split(key)
        terms = model.elbo(state, elbo_key, batch)
        label = batch["label"] if model.classes else None
        error = (model.reconstruct(state, batch["image"], label) - normalise(batch["image"])) / 2
        found = {
            "test_elbo": terms.elbo.sum(),
            "test_kl": terms.kl.sum(),
            "test_log_likelihood": terms.log_likelihood.sum(),
            "test_reconstruction_mse": jnp.square(error).mean((1, 2, 3)).sum(),
            "test_kl_per_unit": terms.kl_per_unit.sum(0),
        }
        if samples:
            bound = model.log_likelihood(state, likelihood_key, batch, samples, chunk)
            found[f"test_nll_{samples}_samples"] = -bound.sum()
        return found

    means_of = means_over(test, sums)

    def evaluate(state: State) -> Evaluation:
        means = means_of(state)
        active = (means.pop("test_kl_per_unit") > ACTIVE).sum()
        figures = {name: float(mean) for name, mean in means.items()} | {"active_units": float(active)}
        return Evaluation(figures, counts={"test_examples": len(test)})

    return evaluate


def disentanglement_evaluator(
    encode: Callable[[State, Array], Float[Array, "b z"]], world: FactorWorld, points: int
) -> Evaluator:
    """Returns an evaluator of all figures of `disentanglement_scores`, for codes of the world's images.

    Args:
        encode: from a state and images to their codes, such as the posterior means of a VAE.
        world: the images and the factors behind them.
        points: the number of points that classifiers are fitted to; half the number is held out to test them.
    """
    mesh = data_mesh(math.gcd(ROWS, len(jax.devices())))
    encode = jax.jit(encode, out_shardings=replicated(mesh))
    test = points // 2
    at_random = 192 * (points + test)  # images that the two scores by interventions ask for

    def evaluate(state: State) -> Evaluation:
        state = jax.device_put(state, replicated(mesh))

        def represent(factors: Int[np.ndarray, "n k"]) -> Float[Array, "n z"]:
            images = world.render(jax.device_put(factors, sharded(mesh)))
            return encode(state, jax.device_put(images, sharded(mesh)))

        def look_up(factors: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n z"]:
            return codes[world.index(factors)]

        if whole := len(world) < at_random:
            codes = represented(represent, world.factors(np.arange(len(world))))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "factors .* take one value only")  # the colour of sprites
            scores = disentanglement_scores(look_up if whole else represent, world.sizes, train=points, test=test)
        return Evaluation(scores, counts={"factor_points": points})

    return evaluate


class Codes(NamedTuple):
    """Examples of a data set with their posteriors."""

    mean: Float[np.ndarray, "n z"]
    """The mean of the posterior of each example."""
    kl: Float[np.ndarray, "n z"]
    """The KL term of each unit, in nats."""
    about: Mapping[str, np.ndarray]
    """What the examples have besides images."""

    @property
    def label(self) -> Int[np.ndarray, "n"]:
        """The class of each example; 0 where there are no classes."""
        return self.about.get("label", np.zeros(len(self.mean), np.int32))


class Factor(NamedTuple):
    """What examples differ in: one of the factors behind them, or their class."""

    name: str
    """The name of the factor."""
    values: Sequence[Any]
    """The value that each of its classes stands for."""
    classes: Int[np.ndarray, "n"]
    """The class of each example."""

    def column(self, value: int) -> str:
        """Returns the heading of the column that shows the class `value`."""
        meaning = self.values[value]
        return f"{self.name}\n{meaning if isinstance(meaning, str) else format(meaning, '.2g')}"


def codes_of(
    encode: Callable, data: DataSet, index: Int[np.ndarray, "n"], shown: Int[np.ndarray, "m"]
) -> tuple[Codes, Float[np.ndarray, "m h w c"]]:
    """Returns the codes of the examples `index` of the data; and in [-1, 1] the images of those at the places `shown`
    of `index`.

    `encode` is a function from images and their labels (None where there are none) to the mean and the standard
    deviation of the posterior.
    """
    parts, images = [], {}
    for places in np.array_split(np.arange(len(index)), -(-len(index) // BATCH)):
        batch = data.batch(index[places])
        images |= {place: batch["image"][place - places[0]] for place in places if place in shown}
        mean, scale = encode(batch["image"], batch.get("label"))
        about = {name: value for name, value in batch.items() if value.ndim <= 2}
        parts.append(jax.device_get({"mean": mean, "kl": kl_to_standard_normal(mean, scale), "about": about}))
    codes = Codes(**jax.tree.map(lambda *x: np.concatenate(x), *parts))
    return codes, np.asarray(normalise(np.stack([images[place] for place in shown])))


def factors_of(data: DataSet, codes: Codes, world: FactorWorld | None = None) -> list[Factor]:
    """Returns the factors behind the images, or of labelled data the class, as far as they take several values.

    Args:
        data: the data set that the codes are of.
        codes: the codes, with what the examples have besides images.
        world: the factors behind the data, where they are known.
    """
    values: Mapping[str, Any] = {"class": data.label_names} if data.classes else {}
    values = values if world is None else world.values
    if "factors" in codes.about:
        columns = codes.about["factors"].T
    else:
        columns = [codes.about["label" if name == "class" else f"label_{name}"] for name in values]
    found = (Factor(name, values[name], column) for name, column in zip(values, columns, strict=True))
    return [factor for factor in found if np.ptp(factor.classes)]
