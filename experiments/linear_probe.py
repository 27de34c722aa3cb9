"""What representations are worth: classifiers of frozen features, against the number of labels that they see.

python -m experiments.linear_probe             VAE, β-VAE, InfoGAN and DCGAN on real digits, in runs/linear_probe
python -m experiments.linear_probe mnist       the same on MNIST, at a laptop's budget
python -m experiments.linear_probe mnist --source tfds:fashion_mnist
python -m experiments.linear_probe mnist --vae DIR --beta-vae DIR --infogan DIR --gan DIR      of finished runs

The models learn from all training images without labels; pixels, their principal components (as many as the VAE has
latent units) and networks before training stand beside them. Logistic regression, ridge regression and nearest
neighbours then see 10 to all labels (`jaxgen.metrics.probe`).

Prints the accuracies on the test set, with 95% confidence intervals over the draws of the labels; writes probe.json,
probe.png, and test images in the plane, pca.png and tsne.png. Models are trained in sub-folders.
"""

import functools
import json
import sys
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure

from experiments import beta_vae, dcgan, infogan, vae
from jaxgen.cli import main as train
from jaxgen.cli import open_run, run_study
from jaxgen.cli.process import use_devices
from jaxgen.cli.run import read_run
from jaxgen.data import load
from jaxgen.evaluation.features import (
    code_features,
    discriminator_features,
    images_of,
    pca_features,
    posterior_features,
)
from jaxgen.metrics import (
    Extractor,
    features_of,
    pixel_extractor,
    probe,
)
from jaxgen.metrics.probes import PROBES, ProbeAccuracy, check_counts

Split = tuple[np.ndarray, np.ndarray]  # of the training and the test set
Found = dict[str, dict[str, dict[int, ProbeAccuracy]]]  # by representation, kind of probe, number of labels

MODELS = {"vae": vae, "beta_vae": beta_vae, "infogan": infogan, "gan": dcgan}
FLAGS = {  # with which they are trained
    "digits": {
        "vae": "digits --importance-samples 0 --mesh 1",
        "beta_vae": "digits --importance-samples 0 --mesh 1",
        "infogan": "digits --steps 2000",
        "gan": "digits",
    },
    "mnist": {
        "vae": "mnist --importance-samples 0 --mesh 1",
        "beta_vae": "mnist --importance-samples 0 --steps 9380",
        "infogan": "mnist --width 32 --steps 2345",
        "gan": "mnist --width 32 --steps 5000",
    },
}


def hidden(features):
    return partial(features, hidden=True)


FEATURES = {  # of each model's run, by name
    "vae": {"VAE": posterior_features, "VAE, hidden layer": hidden(posterior_features)},
    "beta_vae": {"β-VAE": posterior_features, "β-VAE, hidden layer": hidden(posterior_features)},
    "infogan": {"InfoGAN's Q": code_features, "InfoGAN's Q, hidden layer": hidden(code_features)},
    "gan": {"DCGAN's D, hidden layers": discriminator_features},
}
CONTROLLED = ("VAE, hidden layer", "DCGAN's D, hidden layers")  # also before training
SHOWN, COLUMNS = 1000, 4  # test images in a picture, and its panels side by side


@dataclass(frozen=True)
class LinearProbe:
    preset: tyro.conf.Positional[Literal["digits", "mnist"]] = "digits"
    """Whose settings the models are trained with."""
    source: str | None = None
    """Other data than the preset's."""
    run: Path = Path("runs/linear_probe")
    """The folder of the figures, of probe.json and of the trained models."""
    resume: bool = False
    """Go on with what the run folder holds."""
    overwrite: bool = False
    """Delete what the run folder holds."""
    vae: Path | None = None
    """The folder of a finished run of experiments.vae on the same data, instead of training."""
    beta_vae: Path | None = None
    """Of experiments.beta_vae."""
    infogan: Path | None = None
    """Of experiments.infogan."""
    gan: Path | None = None
    """Of experiments.dcgan."""
    counts: tuple[int, ...] = (10, 50, 100, 500, 1000)
    """How many labels a probe sees; all of them too."""
    draws: int = 10
    """Of the labelled examples, for the confidence interval."""
    per_unit: bool = False
    """Scale each unit of a representation to variance 1, not all by one number."""
    seed: int = 0
    """Of the models and the draws."""

    def __post_init__(self):
        if self.draws < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"--draws {self.draws} --seed {self.seed}: at least 1, and 0 to 2**32 - 1 are allowed")


@functools.cache
def read(source: str, image_size: int | None, channels: int | None) -> tuple[Any, Any]:
    """The training and the test set."""
    return tuple(load(source, split, image_size=image_size, channels=channels) for split in ("train", "test"))


def data_of(config) -> tuple[Any, Any]:
    """The training and the test set of a model's config."""
    return read(config.source, config.image_size, config.channels)


def configs_of(config: LinearProbe) -> dict[str, Any]:
    """Of each model the settings of its run, or of the preset with which it will be trained.

    ValueError for runs on different data.
    """
    found = {}
    for name, module in MODELS.items():
        if folder := getattr(config, name):
            found[name], _ = read_run(module.experiment, folder)
        else:
            found[name] = module.presets[config.preset]
            if config.source:
                found[name] = replace(found[name], source=config.source)
    if len(sources := sorted({one.source for one in found.values()})) > 1:
        raise ValueError(f"the models are of {' and '.join(sources)}: give runs, and a preset or --source, of one")
    return found


def labels_of(data: tuple[Any, Any], counts: Sequence[int]) -> Split:
    """ValueError for data without labels, or with too few."""
    if not data[0].classes:
        raise ValueError(f"{data[0].name}: no labels to probe with")
    labels = tuple(np.concatenate([batch["label"] for batch in part.batches(500)]) for part in data)
    check_counts(labels[0], counts)
    return labels


def trained(config: LinearProbe, name: str) -> Path:
    """The folder of a model's run, after training where none is given."""
    if folder := getattr(config, name):
        return folder
    folder = config.run / name
    flags = [*FLAGS[config.preset][name].split(), "--eval-every", "0", "--seed", str(config.seed)]
    source = ["--source", config.source] if config.source else []
    train(MODELS[name].experiment, [*flags, *source, "--resume", "--run", str(folder)])
    return folder


def representations(config: LinearProbe) -> dict[str, Split]:
    """The features of all images, by name."""
    found = {}
    for name, rows in FEATURES.items():
        run = open_run(trained(config, name))
        data, model, state = data_of(run.config), run.model, run.state
        features = {} if found else {"pixels": pixel_extractor().features, "PCA": pca_features(data[0], model.latent)}
        for row, of in rows.items():
            features[row] = of(model, state)
            if row in CONTROLLED:
                untrained = jax.jit(partial(model.init, batch=data[0].spec(1)))(jax.random.key(config.seed))
                features[f"{row}, untrained"] = of(model, untrained)
        for row, each in features.items():
            found[row] = tuple(features_of(Extractor(row, each), images_of(part)) for part in data)
    return found


def table(found: Found, units: dict[str, int], kind: str) -> str:
    """Percent in markdown, ± half the confidence interval; the last column is of all labels."""
    counts = list(next(iter(found.values()))[kind])
    lines = [f"| {kind} | units | {' | '.join(map(str, counts))} (all) |", "|---" * (2 + len(counts)) + "|"]
    for name, of in found.items():
        spread = ["" if a.interval is None else f" ± {100 * a.interval:.1f}" for a in of[kind].values()]
        cells = [f"{100 * a.mean:.1f}{more}" for a, more in zip(of[kind].values(), spread, strict=True)]
        lines.append(f"| {name} | {units[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path, found: Found) -> None:
    """Accuracy against the number of labels: a panel a probe, a colour a model, a dash what of it."""
    figure = Figure(figsize=(15, 5.5), layout="constrained")
    panels = figure.subplots(1, len(PROBES), sharey=True)
    models = list(dict.fromkeys(name.partition(",")[0] for name in found))
    for axes, kind in zip(panels, PROBES, strict=True):
        for name, of in found.items():
            counts = list(of[kind])
            mean = np.array([a.mean for a in of[kind].values()])
            interval = np.array([a.interval or 0 for a in of[kind].values()])
            color, dash = f"C{models.index(name.partition(',')[0])}", ("-", "--", ":")[name.count(",")]
            axes.plot(counts, mean, dash, color=color, marker=".", label=name)
            axes.fill_between(counts, mean - interval, mean + interval, color=color, alpha=0.12, linewidth=0)
        axes.set(title=kind, xscale="log", xlabel="labels")
        axes.set_xticks(counts, counts, rotation=45)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    lowest = min(a.mean for of in found.values() for by_count in of.values() for a in by_count.values())
    panels[0].set(ylabel="accuracy on the test set", ylim=(max(0, lowest - 0.05), 1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(path, dpi=80)


def draw_embeddings(
    run: Path, features: dict[str, np.ndarray], labels: np.ndarray, label_names: Sequence[str]
) -> list[Path]:
    """pca.png and tsne.png: images in the plane, coloured by class, a panel a representation."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    places = {"pca": {}, "tsne": {}}
    for name, x in features.items():
        x = np.pad(np.where(np.isfinite(x), x, 0), ((0, 0), (0, max(0, 2 - x.shape[1]))))
        x = PCA(min(50, *x.shape), random_state=0).fit_transform(x)
        places["pca"][name] = x[:, :2]
        with threadpool_limits(1):  # more threads wait for each other in each of its thousand small steps
            places["tsne"][name] = TSNE(perplexity=min(30, (len(x) - 1) / 3), random_state=0).fit_transform(x)
    rows = -(-len(features) // COLUMNS)
    for method, points_of in places.items():
        figure = Figure(figsize=(2.8 * COLUMNS, 2.9 * rows + 0.4), layout="constrained")
        for i, (name, points) in enumerate(points_of.items(), 1):
            axes = figure.add_subplot(rows, COLUMNS, i, xticks=[], yticks=[])
            axes.set_title(name, fontsize="small")
            for label in range(len(label_names)):
                axes.scatter(*points[labels == label].T, s=6, linewidths=0, color=f"C{label % 10}")
        if len(label_names) <= 20:
            figure.legend(label_names, loc="outside lower center", ncols=10, markerscale=3, fontsize="small")
        figure.savefig(run / f"{method}.png", dpi=80)
    return [run / f"{method}.png" for method in places]


def main(config: LinearProbe) -> None:
    configs = configs_of(config)
    use_devices(configs["gan"])  # before JAX starts; dense networks are then trained with --mesh 1
    data = data_of(configs["vae"])
    labels, test_labels = labels_of(data, config.counts)
    features = representations(config)
    counts = [*(count for count in config.counts if count < len(labels)), None]
    options = {"draws": config.draws, "per_unit": config.per_unit, "seed": config.seed}
    found = {}
    for name, (x, test) in features.items():
        with warnings.catch_warnings(record=True) as said:
            found[name] = probe(x, labels, test, test_labels, counts, **options)
        for each in said:
            print(f"warning: {name}: {textwrap.shorten(str(each.message), 100)}", file=sys.stderr)
        accuracies = ", ".join(f"{kind} {found[name][kind][len(labels)].mean:.1%}" for kind in PROBES)
        print(f"{name:36} {accuracies}", flush=True)
    record = {
        name: {kind: {n: a._asdict() for n, a in of.items()} for kind, of in by_kind.items()}
        for name, by_kind in found.items()
    }
    (config.run / "probe.json").write_text(json.dumps(record, indent=2) + "\n")
    draw(config.run / "probe.png", found)
    shown = np.linspace(0, len(test_labels) - 1, min(SHOWN, len(test_labels))).astype(int)
    tests = {name: test[shown] for name, (_, test) in features.items()}
    pictures = draw_embeddings(config.run, tests, test_labels[shown], data[1].label_names)
    units = {name: x.shape[1] for name, (x, _) in features.items()}
    for kind in PROBES:
        print(f"\n{table(found, units, kind)}")
    print("\nfigures  ", config.run / "probe.png", *pictures)


if __name__ == "__main__":
    run_study(LinearProbe, main, __file__, __doc__)
