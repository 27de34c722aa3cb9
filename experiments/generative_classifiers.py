"""Discriminative from generative: class-conditional models as classifiers, by Bayes' rule, and what else P(X, Y) knows.

python -m experiments.generative_classifiers            a RealNVP and a CVAE on real digits
python -m experiments.generative_classifiers mnist      the same on MNIST, at a laptop's budget
python -m experiments.generative_classifiers --flow DIR --vae DIR      of finished conditional runs

Logistic regression learns P(Y | X) alone. The generative models learn P(X | Y), from which p(y | x) ∝ p(x | y) p(y),
and which also completes images of which a half is hidden.

Prints accuracy, negative log-likelihood of the label and expected calibration error on the test set, and the error of
the hidden halves; writes classifiers.json, reliability.png and completions.png.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure

from experiments import realnvp, vae
from jaxgen.cli import Run, open_run, run_study
from jaxgen.cli import main as train
from jaxgen.cli.process import use_devices
from jaxgen.metrics import Reliability, nearest_neighbours, reliability
from jaxgen.pixels import normalise
from jaxgen.report import image_grid, save_image

MODELS = {"flow": realnvp, "vae": vae}
FLAGS = {  # with which they are trained
    "digits": {"flow": "digits --conditional", "vae": "digits --conditional --image-size 8 --importance-samples 0"},
    "mnist": {"flow": "mnist --conditional --steps 4690", "vae": "mnist --conditional --importance-samples 0"},
}
SAMPLES = 100  # of the posterior, for the CVAE's p(x | y)
TEST = 1000  # at most so many test images are classified
BATCH = 100
SHOWN = 10  # completions
LABELS = {"flow": "RealNVP by Bayes' rule", "vae": "CVAE by Bayes' rule"}


@dataclass(frozen=True)
class GenerativeClassifiers:
    preset: tyro.conf.Positional[Literal["digits", "mnist"]] = "digits"
    """Whose settings the models are trained with."""
    run: Path = Path("runs/generative_classifiers")
    """The folder of the figures, and of the trained models."""
    resume: bool = False
    """Go on with what the run folder holds."""
    overwrite: bool = False
    """Delete what the run folder holds."""
    flow: Path | None = None
    """The folder of a finished conditional run of RealNVP or Glow, instead of training."""
    vae: Path | None = None
    """The folder of a finished conditional run of the VAE on the same data."""
    seed: int = 0
    """Of the models."""


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


def in_batches(function, *arrays: np.ndarray) -> np.ndarray:
    """`function` of a key and of batches of the arrays; the last is filled up, so that one program serves all."""
    n = len(arrays[0])
    index = np.arange(-(-n // BATCH) * BATCH) % n
    keys = jax.random.split(jax.random.key(0), len(index) // BATCH)
    batches = zip(keys, index.reshape(-1, BATCH), strict=True)
    parts = [function(key, *(jnp.asarray(x[part]) for x in arrays)) for key, part in batches]
    return np.concatenate(parts)[:n]


def posteriors(models: dict[str, Run], train_set: tuple, test_image: np.ndarray) -> dict[str, np.ndarray]:
    """log p(y | x) of the test images by each classifier."""
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


def complete(model, state, train_set: tuple, image: np.ndarray, label: np.ndarray, mask: np.ndarray) -> dict:
    """The images with their hidden pixels by the CVAE, and by what a baseline knows: the mean of the class, and the
    training image of the class that is nearest by what is seen. In [-1, 1]."""
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
    """The share of right answers against the confidence; the diagonal is calibrated."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    axes.plot([0, 1], [0, 1], color="silver")
    for name, one in found.items():
        axes.plot(one.confidence, one.correct, marker="o", markersize=4, label=f"{name}, ECE {one.ece:.3f}")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=80)


def main(config: GenerativeClassifiers) -> None:
    use_devices(realnvp.presets[config.preset])  # before JAX starts
    models = {name: restored(config, name) for name in MODELS}
    data = {name: run.load_data() for name, run in models.items()}
    shapes = {name: (train_set.name, train_set.example["image"].shape) for name, (train_set, _) in data.items()}
    if shapes["flow"] != shapes["vae"]:
        raise ValueError(f"the models are of different images: {shapes['flow']} and {shapes['vae']}")
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
