"""Class-conditional models as classifiers by Bayes' rule, and what else a model of P(X, Y) knows.

python -m experiments.generative_classifiers            a RealNVP and a CVAE on real digits
python -m experiments.generative_classifiers mnist      the same on MNIST, at a laptop's budget
python -m experiments.generative_classifiers --flow DIR --vae DIR      finished conditional runs

Logistic regression learns P(Y | X) alone. The generative models learn P(X | Y), which gives p(y | x) ∝ p(x | y) p(y),
and with which the hidden half of an image can also be completed.

The script prints the accuracy, the negative log-likelihood of the label and the expected calibration error on the test
set, and the error of the completed halves. It writes classifiers.json, reliability.png and completions.png.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array
from matplotlib.figure import Figure

from experiments import realnvp, vae
from jaxgen.cli import Run, open_run, run_study
from jaxgen.cli import main as train
from jaxgen.cli.process import use_devices
from jaxgen.metrics import Reliability, nearest_neighbours, reliability
from jaxgen.models import VAE
from jaxgen.pixels import normalise
from jaxgen.report import image_grid, save_image
from jaxgen.types import State

Split = tuple[np.ndarray, np.ndarray]  # images and labels

MODELS = {"flow": realnvp, "vae": vae}
FLAGS = {  # the flags with which the models are trained
    "digits": {"flow": "digits --conditional", "vae": "digits --conditional --image-size 8 --importance-samples 0"},
    "mnist": {"flow": "mnist --conditional --steps 4690", "vae": "mnist --conditional --importance-samples 0"},
}
SAMPLES = 100  # the samples of the posterior that estimate the CVAE's p(x | y)
TEST = 1000  # the largest number of test images that are classified
BATCH = 100
SHOWN = 10  # the completions in the picture
LABELS = {"flow": "RealNVP by Bayes' rule", "vae": "CVAE by Bayes' rule"}


@dataclass(frozen=True)
class GenerativeClassifiers:
    """The settings of the script."""

    preset: tyro.conf.Positional[Literal["digits", "mnist"]] = "digits"
    """The preset with whose settings the models are trained."""
    run: Path = Path("runs/generative_classifiers")
    """The folder of the figures, and of the trained models."""
    resume: bool = False
    """Go on with what the run folder holds."""
    overwrite: bool = False
    """Delete what the run folder holds and start afresh."""
    flow: Path | None = None
    """The folder of a finished conditional run of RealNVP or Glow, instead of training."""
    vae: Path | None = None
    """The folder of a finished conditional run of the VAE on the same data."""
    seed: int = 0
    """The seed of the models."""


def restored(config: GenerativeClassifiers, name: str) -> Run:
    """Opens a model's run, after training where none is given."""
    experiment = MODELS[name].experiment
    if not (folder := getattr(config, name)):
        folder = config.run / name
        flags = [*FLAGS[config.preset][name].split(), "--eval-every", "0", "--seed", str(config.seed)]
        train(experiment, [*flags, "--resume", "--run", str(folder)])
    run = open_run(folder)
    if not run.model.classes:
        raise ValueError(f"{folder}: the run is unconditional; --conditional is needed")
    return run


def in_batches(function: Callable[..., Array], *arrays: np.ndarray) -> np.ndarray:
    """Applies `function` to a key and a batch of the arrays at a time. The last batch is filled up, so that one
    compiled program serves all."""
    n = len(arrays[0])
    index = np.arange(-(-n // BATCH) * BATCH) % n
    keys = jax.random.split(jax.random.key(0), len(index) // BATCH)
    batches = zip(keys, index.reshape(-1, BATCH), strict=True)
    parts = [function(key, *(jnp.asarray(x[part]) for x in arrays)) for key, part in batches]
    return np.concatenate(parts)[:n]


def posteriors(models: dict[str, Run], train_set: Split, test_image: np.ndarray) -> dict[str, np.ndarray]:
    """Returns log p(y | x) of the test images by each classifier."""
    from sklearn.linear_model import LogisticRegression

    image, label = (np.asarray(x) for x in train_set)
    pixels = [normalise(x).reshape(len(x), -1) for x in (image, test_image)]
    discriminative = LogisticRegression(max_iter=1000).fit(pixels[0], label)
    found = {"logistic regression": discriminative.predict_log_proba(pixels[1])}
    for name, run in models.items():
        model, state = run.model, run.state
        if name == "flow":
            classify = jax.jit(lambda key, x, model=model, state=state: model.classify(state, x))
        else:
            classify = jax.jit(lambda key, x, model=model, state=state: model.classify(state, key, x, SAMPLES))
        found[LABELS[name]] = in_batches(classify, test_image)
    return found


def complete(
    model: VAE, state: State, train_set: Split, image: np.ndarray, label: np.ndarray, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the images, in [-1, 1], with their hidden pixels completed by the CVAE and by two baselines: the mean of
    the class, and the training image of the class whose seen half is the nearest."""
    real, of = normalise(train_set[0]), train_set[1]
    image = np.asarray(normalise(image))
    mean, nearest = np.empty_like(image), np.empty_like(image)
    for y in np.unique(label):
        some, mine = real[of == y], label == y
        mean[mine] = some.mean(0)
        _, index = nearest_neighbours(image[mine] * mask, some * mask)
        nearest[mine] = some[index[:, 0]]
    made = in_batches(jax.jit(lambda key, x, y: model.complete(state, key, x, jnp.asarray(mask), y)), image, label)
    return {name: np.where(mask > 0, image, x) for name, x in (("CVAE", made), ("nearest", nearest), ("mean", mean))}


def draw_reliability(path: Path, found: dict[str, Reliability]) -> None:
    """Draws the share of right answers against the confidence; a calibrated classifier lies on the diagonal."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    axes.plot([0, 1], [0, 1], color="silver")
    for name, one in found.items():
        axes.plot(one.confidence, one.correct, marker="o", markersize=4, label=f"{name}, ECE {one.ece:.3f}")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=80)


def main(config: GenerativeClassifiers) -> None:
    """Classifies and completes the test images, prints the figures, and writes the table and the pictures."""
    use_devices(realnvp.presets[config.preset])  # before JAX starts
    models = {name: restored(config, name) for name in MODELS}
    data = {name: run.load_data() for name, run in models.items()}
    shapes = {name: (train_set.name, train_set.example["image"].shape) for name, (train_set, _) in data.items()}
    if shapes["flow"] != shapes["vae"]:
        raise ValueError(f"the models were trained on different images: {shapes['flow']} and {shapes['vae']}")
    train_set, test_set = data["vae"]
    seen = train_set.arrays["image"], train_set.arrays["label"]
    test = test_set.batch(np.arange(min(TEST, len(test_set))))
    found = {name: reliability(x, test["label"]) for name, x in posteriors(models, seen, test["image"]).items()}
    print(f"{len(test['label'])} test images        accuracy    NLL     ECE")
    for name, one in found.items():
        print(f"{name:24} {one.accuracy:8.1%} {one.nll:7.3f} {one.ece:7.3f}", flush=True)

    height = test["image"].shape[1]
    mask = (np.arange(height) < height // 2).astype(np.float32)[:, None, None]
    made = complete(models["vae"].model, models["vae"].state, seen, test["image"], test["label"], mask)
    real = np.asarray(normalise(test["image"]))
    errors = {name: float(np.abs(x - real).mean() / (1 - mask.mean())) / 2 for name, x in made.items()}
    print("L1 of the hidden half    ", *(f"{name} {error:.3f}" for name, error in errors.items()))
    shown = np.linspace(0, len(real) - 1, min(SHOWN, len(real))).astype(int)
    rows = {"image": real, "seen": np.where(mask > 0, real, 0), **made}
    grid = image_grid(np.concatenate([x[shown] for x in rows.values()]), len(shown), row_names=tuple(rows))
    save_image(config.run / "completions.png", grid)
    draw_reliability(config.run / "reliability.png", found)
    figures = {name: {"accuracy": one.accuracy, "nll": one.nll, "ece": one.ece} for name, one in found.items()}
    record = {"classifiers": figures, "hidden_l1": errors}
    (config.run / "classifiers.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"figures   {config.run}/ reliability.png completions.png")


if __name__ == "__main__":
    run_study(GenerativeClassifiers, main, __file__, __doc__)
