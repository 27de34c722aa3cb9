"""How often `jaxgen.evaluation.diagnosis` is right: python -m benchmarks.diagnosis [--seeds 2] [--seed 0] [--out PNG]

The runs are short, of small networks on points, under several losses and seeds. Each is constructed to be healthy or to
fail in one way, which is its label. The label is confirmed on samples and on D, by figures that the diagnosis does not
read: the sliced Wasserstein distance of the samples to the data and to the samples before, the mode that is nearest to
each sample, D's ranking of fresh pairs, and its slope where the samples are. Runs that came out otherwise than
constructed are listed, and counted apart.
"""

import argparse
import functools
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from matplotlib.figure import Figure

from jaxgen import losses
from jaxgen.cli.names import ADVERSARIAL_LOSSES
from jaxgen.data import Mixture, toy_world
from jaxgen.evaluation.diagnosis import VERDICTS, diagnose
from jaxgen.metrics import mode_coverage
from jaxgen.models import GAN
from jaxgen.networks import PointDiscriminator, PointGenerator
from jaxgen.optimisers import clip_weights

INTERVAL = 50  # steps from one record to the next
EVALUATION = 4  # records from one evaluation to the next
SAMPLES = 2500  # points of an evaluation
ADAM = functools.partial(optax.adam, b1=0.5)
COLUMNS = [*list(VERDICTS)[1:], "undecided"]
ROWS = COLUMNS[:-1]


class Bent(nn.Module):
    """A generator whose points are sent through a function."""

    generator: nn.Module
    """The generator."""
    bend: Callable
    """The function, (n, 2) -> (n, 2)."""

    @nn.compact
    def __call__(self, latent, label=None, *, train=False):
        """Returns the bent points (n, 2)."""
        return self.bend(self.generator(latent))


def right_half(points):
    """Mirrors the points of the left half-plane into the right one."""
    return jnp.stack([jnp.abs(points[:, 0]), points[:, 1]], axis=-1)


def narrow(points):
    """Draws the points together around their mean."""
    return points.mean(axis=0) + 0.05 * nn.tanh(points - points.mean(axis=0))


def far_away(points):
    """Moves the points far away from the data."""
    return points + 8.0


def aside(points):
    """Draws the points together and moves them beside the data."""
    return 0.5 * points + 5.0


@dataclass(frozen=True)
class Construction:
    """A way to train, and what must come of it."""

    label: str
    """The verdict that is right."""
    name: str
    """What the printed table calls it."""
    gan: GAN
    """The model."""
    world: str = "ring"
    """The name of the toy world that is the data."""
    scale: float = 0.1
    """The standard deviation of a mode: wider than the literature's 0.02, so that short runs learn it."""
    steps: int = 2000
    """The number of training steps."""
    batch: int = 128
    """The number of points in a minibatch."""
    modes: int | None = None
    """The data show only this number of modes, the first ones; None: all."""


def gan(
    loss: str,
    g: float | optax.GradientTransformation = 1e-3,
    d: float | optax.GradientTransformation = 1e-3,
    optimiser: Callable[[float], optax.GradientTransformation] = ADAM,
    bend: Callable | None = None,
    relu: bool = False,
    **options: Any,
) -> GAN:
    """Returns a GAN whose players have two layers of 128 units, with tanh and an orthogonal start as in Unrolled GAN.

    Args:
        loss: the name of the game.
        g: the learning rate of the generator, or its optimiser.
        d: the same for the discriminator.
        optimiser: a function from a learning rate to an optimiser.
        bend: a function through which the generator's points are sent.
        relu: the activation is ReLU, and the start is He's.
        options: further fields of `GAN`, and `depth`, the number of the discriminator's hidden layers.
    """
    start: dict[str, Any] = {} if relu else {"activation": nn.tanh, "kernel_init": nn.initializers.orthogonal(1.4)}
    depth = options.pop("depth", 2)
    generator = PointGenerator(hidden=(128, 128), **start)
    discriminator = PointDiscriminator(hidden=(128,) * depth, **start)
    g, d = (optimiser(rate) if isinstance(rate, float | int) else rate for rate in (g, d))
    return GAN(
        Bent(generator, bend) if bend else generator,
        discriminator,
        g,
        d,
        ADVERSARIAL_LOSSES[loss],
        latent=16,
        **options,
    )


def constructions() -> list[Construction]:
    """Returns all constructions. Healthy runs have what is known to cure; the others lack it, or are built so that they
    must fail."""
    momentum = functools.partial(optax.sgd, momentum=0.9)
    slow, clipped = optax.sgd(1e-3), optax.chain(optax.rmsprop(5e-4), clip_weights(0.001))
    gp: dict[str, Any] = {
        "penalties": (losses.Penalty(losses.gradient_penalty, 1.0),),
        "discriminator_steps": 3,
        "relu": True,
    }
    r1: dict[str, Any] = {"penalties": (losses.Penalty(losses.r1, 0.1),)}
    five: dict[str, Any] = {"discriminator_steps": 5}
    found = []

    def add(label, name, game, **options):
        found.append(Construction(label, name, game, **options))

    add("healthy", "wasserstein, gradient penalty", gan("wasserstein", **gp), steps=3000)
    add("healthy", "hinge, gradient penalty", gan("hinge", **gp), steps=3000)
    add("healthy", "non-saturating, R1", gan("non_saturating", **r1), steps=3000)
    add("healthy", "least squares", gan("least_squares"), steps=3000)
    add("healthy", "minimax, R1", gan("minimax", **r1), steps=3000)
    add("healthy", "non-saturating, R1, packing 2", gan("non_saturating", packing=2, **r1), steps=3000)
    add("vanishing_gradient", "minimax, D at 5 steps, G starts far away", gan("minimax", slow, bend=far_away, **five))
    add("vanishing_gradient", "minimax, D at 5 steps, G starts aside", gan("minimax", slow, bend=aside, **five))
    add("vanishing_gradient", "least squares, the same", gan("least_squares", slow, bend=far_away, **five))
    add("vanishing_gradient", "wasserstein, clipped to 0.001", gan("wasserstein", slow, clipped, relu=True, depth=4))
    for loss in ("minimax", "non_saturating", "least_squares", "hinge"):
        game = gan(loss, 1e-5, 1e-3, **five)
        add("overpowering_discriminator", f"{loss}, D at 5 steps, 100 times G's rate", game, scale=0.02)
    for loss in ("minimax", "non_saturating", "least_squares"):
        add("total_mode_collapse", f"{loss}, G narrow", gan(loss, bend=narrow))
    add("total_mode_collapse", "wasserstein, gradient penalty, G narrow", gan("wasserstein", bend=narrow, **gp))
    add("total_mode_collapse", "non-saturating, ReLU", gan("non_saturating", relu=True), scale=0.02, steps=3000)
    for name, loss, options in (("wasserstein", "wasserstein", gp), ("non-saturating, R1", "non_saturating", r1)):
        add("partial_mode_collapse", f"{name}, G in the right half", gan(loss, bend=right_half, **options), steps=3000)
    for name, loss, options in (("hinge", "hinge", gp), ("least squares, R1", "least_squares", r1)):
        add("partial_mode_collapse", f"{name}, data of 5 modes", gan(loss, **options), steps=3000, modes=5)
    for loss in ("minimax", "non_saturating", "least_squares"):
        add("oscillation", f"{loss}, G at 100 times D's rate", gan(loss, 1e-2, 1e-4), scale=0.02)
    add("oscillation", "wasserstein, unconstrained", gan("wasserstein", relu=True, discriminator_steps=3))
    add("oscillation", "wasserstein, linear D", gan("wasserstein", 1e-3, 1e-2, optax.sgd, depth=0))
    add("divergence", "wasserstein, unconstrained, SGD", gan("wasserstein", 1e-2, 1e-2, momentum))
    add("divergence", "hinge, rate 1", gan("hinge", 1.0, 1.0, momentum, relu=True))
    add("divergence", "least squares, SGD at rate 3", gan("least_squares", 3.0, 3.0, momentum, relu=True))
    add("divergence", "non-saturating, SGD at rate 10", gan("non_saturating", 10.0, 10.0, momentum, relu=True))
    return found


def train(construction: Construction, seeds: range):
    """Trains one run for each seed, side by side in one program.

    Returns the runs' records, and what the evaluations of each run saw: points, D on them, D on data, and D's slope.
    """
    game, world = construction.gan, world_of(construction)
    size = construction.batch * game.minibatches
    spread = distance(world.sample(1, SAMPLES)[0], world.sample(2, SAMPLES)[0])
    latent = game.prior(jax.random.key(1), SAMPLES)

    def data(key, n):
        mode_key, noise_key = jax.random.split(key)
        shown = jnp.asarray(world.modes[: construction.modes])
        modes = shown[jax.random.randint(mode_key, n, 0, len(shown))]
        return modes + world.scale * jax.random.normal(noise_key, (n, 2))

    @functools.partial(jax.jit, donate_argnums=0)
    @jax.vmap
    def chunk(state, key):
        def one(state, key):
            return game.step(state, {"image": data(key, size)})

        state, metrics = jax.lax.scan(one, state, jax.random.split(key, INTERVAL))
        return state, jax.tree.map(jnp.mean, metrics)

    @jax.jit
    @jax.vmap
    def look(state, key):
        points, real = game.generate(state, latent), data(key, SAMPLES)

        def loss(points):
            return game.loss.generator(game.discriminate(state, real), game.discriminate(state, points))

        slope = jnp.linalg.norm(jax.grad(loss)(points), axis=-1).sum()  # of the mean: n times 1 / n
        judged = game.discriminate(state, points), game.discriminate(state, real)
        return mode_coverage(points, world.modes, world.scale), (points, *judged, slope)

    init = functools.partial(game.init, batch={"image": jax.ShapeDtypeStruct((size, 2), jnp.float32)})
    start, order = (jax.vmap(jax.random.key)(jnp.array(seeds) + shift) for shift in (0, 10**6))
    state = jax.jit(lambda keys: jax.lax.map(init, keys))(start)
    records, seen = [[] for _ in seeds], [[] for _ in seeds]
    for i in range(1, construction.steps // INTERVAL + 1):
        keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(order)
        state, metrics = chunk(state, keys)
        for s, record in enumerate(records):
            record.append({"step": i * INTERVAL} | {name: float(values[s]) for name, values in metrics.items()})
        if i % EVALUATION:
            continue
        coverage, what = jax.device_get(look(state, keys))
        for s, record in enumerate(records):
            points = what[0][s]
            figures = {name: float(getattr(coverage, name)[s]) for name in ("modes_covered", "high_quality")}
            figures |= {f"share_{j}": count / SAMPLES for j, count in enumerate(coverage.counts[s].tolist())}
            figures["diversity"] = distance(points, np.roll(points, 1, axis=0)) / spread
            record.append({"step": i * INTERVAL} | figures)
            seen[s].append(tuple(x[s] for x in what))
    return records, seen


def world_of(construction: Construction) -> Mixture:
    """Returns the mixture that is the truth."""
    world = toy_world(construction.world)
    assert isinstance(world, Mixture)
    return Mixture(world.modes, construction.scale)


def distance(a, b) -> float:
    """Returns the mean distance between the points of two samples, pair by pair."""
    return float(np.linalg.norm(a - b, axis=-1).mean())


def sliced(a, b) -> float:
    """Returns the sliced Wasserstein-1 distance of two samples of one size, by 16 directions (Bonneel et al. 2015)."""
    angles = np.pi * np.arange(16) / 16
    directions = np.array([np.cos(angles), np.sin(angles)])
    return float(np.abs(np.sort(a @ directions, axis=0) - np.sort(b @ directions, axis=0)).mean())


def confirmed(construction: Construction, seen) -> dict[str, bool]:
    """Returns which labels the last third of the run bears out. Lengths are in units of the data's extent."""
    world = world_of(construction)
    real, _ = world.sample(3, SAMPLES)
    extent = float(np.sqrt(real.var(axis=0).sum()))
    points, on_fake, on_real, slope = (np.array(x) for x in zip(*seen[-max(4, len(seen) // 3) :], strict=True))
    away = np.abs(points[-1]).max() > 20 * extent or np.abs(on_real - on_fake[:, : on_real.shape[1]]).max() > 1e3
    if away or not np.isfinite(points).all() or not np.isfinite(on_fake).all():
        return {"divergence": True}
    moved = np.array([sliced(a, b) for a, b in itertools.pairwise(points)]) / extent
    off = np.array([sliced(sample, real) for sample in points]) / extent
    spread = np.sqrt(points.var(axis=1).sum(axis=-1)) / extent
    sure = (on_real > on_fake).mean() > 0.98
    to_mode = np.linalg.norm(points[:, :, None] - world.modes, axis=-1)
    near = to_mode.min(axis=-1) < 0.25 * extent
    counts = np.array(
        [np.bincount(d.argmin(-1)[n], minlength=len(world.modes)) for d, n in zip(to_mode, near, strict=True)]
    )
    present = counts > 0.02 * SAMPLES
    flat = np.median(slope) * extent < 1e-2
    bad, alike = off.min() > 0.15, spread.max() < 0.15
    holds = {
        "divergence": False,
        "vanishing_gradient": bad and flat,
        "overpowering_discriminator": sure and bad and not flat and not alike,
        "total_mode_collapse": alike,
        "partial_mode_collapse": not present.any(axis=0).all() and near.mean() > 0.6 and not alike,
        "oscillation": moved.mean() > 0.15 and moved.sum() > 2 * sliced(points[0], points[-1]) / extent and not sure,
        "healthy": present.all() and off.max() < 0.15 and near.mean() > 0.6,
    }
    return {name: bool(value) for name, value in holds.items()}


def draw(path: Path, matrix: np.ndarray, title: str) -> None:
    """Draws the confusion matrix: rows are what runs were constructed to be, columns the verdicts."""
    figure = Figure(figsize=(7, 5.6), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="diagnosed", ylabel="constructed and confirmed")
    axes.imshow(matrix, cmap="Blues")
    for (i, j), count in np.ndenumerate(matrix):
        if count:
            axes.text(j, i, count, ha="center", va="center", color="white" if count > matrix.max() / 2 else "black")
    axes.set_xticks(range(len(VERDICTS)), [name.replace("_", "\n") for name in COLUMNS], fontsize=8)
    axes.set_yticks(range(len(ROWS)), [name.replace("_", " ") for name in ROWS], fontsize=8)
    figure.savefig(path, dpi=70)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="the number of runs of each construction")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="take only constructions whose label or name holds this")
    parser.add_argument("--out", type=Path, default=Path("docs/diagnosis_confusion.png"), help="the picture")
    parser.add_argument("--verbose", action="store_true", help="print the evidence of each run")
    options = parser.parse_args()
    matrix, astray = np.zeros((len(ROWS), len(COLUMNS)), int), []
    for construction in constructions():
        if options.only not in f"{construction.label} {construction.name}":
            continue
        began = time.perf_counter()
        runs = train(construction, range(options.seed, options.seed + options.seeds))
        verdicts = []
        for records, seen in zip(*runs, strict=True):
            found = diagnose(records, world_of(construction).label_names)
            truths = [name for name, holds in confirmed(construction, seen).items() if holds]
            verdicts.append(found.verdict)
            if construction.label in truths:
                matrix[ROWS.index(construction.label), COLUMNS.index(found.verdict)] += 1
            else:
                verdicts[-1] += f" (astray: {'it is ' + ' or '.join(truths) if truths else 'no label fits'})"
                astray.append(found.verdict in truths)
            if options.verbose and found.verdict != construction.label:
                print(found)
        took = time.perf_counter() - began
        print(f"{construction.label}: {construction.name}: {', '.join(verdicts)}  {took:.0f} s", flush=True)
    right = sum(matrix[i, COLUMNS.index(name)] for i, name in enumerate(ROWS))
    title = f"{right} of {matrix.sum()} runs diagnosed rightly ({right / max(matrix.sum(), 1):.0%})"
    print(f"\n{title}; {len(astray)} came out otherwise than constructed, {sum(astray)} of these diagnosed rightly\n")
    print("| constructed | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, row in zip(ROWS, matrix, strict=True):
        print(f"| {name.replace('_', ' ')} | " + " | ".join(str(count or "") for count in row) + " |")
    draw(options.out, matrix, title)


if __name__ == "__main__":
    main()
