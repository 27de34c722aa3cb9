"""What can be done with a run: samples, figures, pictures, a diagnosis; and what training shares with it."""

import dataclasses
import json
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax.errors import FlaxError
from jax.sharding import Mesh
from tqdm import tqdm

from jaxgen.data import Dataset, StreamedDataset, image_files, load, order, read_image
from jaxgen.evaluation import game_eigenvalues
from jaxgen.evaluation.pictures import draw_diagnosis
from jaxgen.pixels import to_uint8
from jaxgen.report import draw_samples, image_grid, pictures_of, plot_curves, save_image, write_page
from jaxgen.sharding import data_mesh
from jaxgen.training.command_line import find_run, flag_of, parse, use_cpu_devices
from jaxgen.training.logging import as_json, read_metrics
from jaxgen.training.population import summary
from jaxgen.training.runs import check_data, read_run, restore_run, settings_of
from jaxgen.types import State

__all__ = [
    "diagnose",
    "drawer",
    "evaluate",
    "finish",
    "load_data",
    "mesh_of",
    "report",
    "sample",
    "translate",
    "use_devices",
]

ROWS = 8  # of the picture of a model from images to images


def sample(experiment, args: list[str]) -> None:
    """A grid of samples of a run, one row a label for a conditional model, one row a category for InfoGAN."""

    @dataclass(frozen=True)
    class Sample:
        run: Path
        """The folder of the run."""
        n: int = 64
        """How many images; of a model with labels or categories a multiple of their number."""
        out: Path | None = None
        """The PNG to write; default: samples.png in the run folder."""
        seed: int = 0
        """Of the latents."""
        member: int = 0
        """Which member of a population."""
        labels: tuple[int, ...] = ()
        """The classes (categories of InfoGAN) to sample, each once; default: all."""
        codes: tuple[float, ...] = ()
        """The continuous codes of InfoGAN, trained in [-1, 1]; default: random."""
        truncation: float | None = None
        """Of a GAN's latents: those with units further from 0 are drawn again; default: the run's."""
        temperature: float | None = None
        """Standard deviation of a normalising flow's latents; default: the run's."""
        sampler: str | None = None
        """Of a diffusion model: ancestral, ddim, dpm_solver or heun; default: the run's."""
        sampling_steps: int | None = None
        """Timesteps that it visits; default: the run's."""
        guidance: float | None = None
        """Scale of its classifier-free guidance; default: the run's."""
        standing_statistics: int = 0
        """Compute a GAN's batch statistics anew over so many minibatches of samples; 0: those of training."""
        checkpoint: int | None = None
        """The step to use; default: the newest."""

    options = parse(Sample, args, f"{experiment.script} sample", sample.__doc__)
    config, data = read_run(experiment, options.run)
    model, states, step = restore_run(experiment, options.run, config, data, options.checkpoint)
    if not 0 <= options.member < len(states):
        raise ValueError(f"--member {options.member}: this run's members are 0 to {len(states) - 1}")
    if options.n < 1:
        raise ValueError(f"--n {options.n}: at least 1 is needed")
    out = options.out or options.run / "samples.png"
    state = states[options.member]
    for name in ("truncation", "temperature", "sampler", "sampling_steps", "guidance"):
        if (value := getattr(options, name)) is not None:
            if not hasattr(model, name):
                raise ValueError(f"{flag_of(name)}: this run's model has none")
            model = dataclasses.replace(model, **{name: value})
    if options.standing_statistics:
        if not hasattr(model, "standing_statistics") or options.standing_statistics < 0:
            raise ValueError(f"--standing-statistics {options.standing_statistics}: only a GAN has them, at least 0")
        state = jax.jit(model.standing_statistics, static_argnums=2)(
            state, jax.random.key(options.seed), options.standing_statistics
        )
    if experiment.row:
        if options.labels or options.codes:
            raise ValueError("--labels, --codes: this run's model translates images of the test set")
        _, test = load_data(config)
        chosen = order(options.seed, 0, min(options.n, len(test)), len(test))
        save_image(out, _rows(experiment, model, data)(state, test.batch(chosen)))
        print(f"{len(chosen)} test images, translated at step {step}: {out}")
        return
    coded = hasattr(model, "codes")
    classes = sum(model.categorical[:1]) if coded else getattr(model, "classes", 0)
    if options.codes and len(options.codes) != (continuous := model.continuous if coded else 0):
        raise ValueError(
            f"--codes: {len(options.codes)} values, but this run's model has {continuous} continuous codes"
        )
    labels = options.labels or tuple(range(classes))
    if options.labels and not classes:
        raise ValueError("--labels: this run's model is unconditional")
    if len(labels) > classes or len(set(labels)) < len(labels):
        raise ValueError(f"--labels {' '.join(map(str, labels))}: each of the {classes} classes can be named once")
    for label in labels:
        if not 0 <= label < classes:
            raise ValueError(f"--labels {label}: this run's labels are 0 to {classes - 1}")
    if labels and options.n % len(labels):
        if options.labels:
            raise ValueError(f"--n {options.n}: a multiple of the {len(labels)} labels is needed")
        labels = labels[: options.n]  # the default: as many whole rows as n images make
    columns = options.n // len(labels) if labels else math.isqrt(options.n - 1) + 1
    n = columns * len(labels) if labels else options.n
    key = jax.random.key(options.seed)
    extra = {"label": jnp.repeat(jnp.array(labels, jnp.int32), columns)} if labels else {}
    if coded:
        codes = model.codes(jax.random.fold_in(key, 1), n)
        if labels:
            codes = codes._replace(categorical=codes.categorical.at[:, 0].set(extra["label"]))
        if options.codes:
            codes = codes._replace(continuous=jnp.tile(jnp.array(options.codes, jnp.float32), (n, 1)))
        extra = {"codes": codes}
    gradual = hasattr(model, "trajectory")  # many steps, which take a while
    with tqdm(total=getattr(model, "sampling_steps", None), unit="step", disable=None if gradual else True) as bar:
        if gradual:
            extra["progress"] = lambda step: bar.update(int(step) - bar.n)
        samples = jax.jit(partial(model.sample, n=n, **extra))(state, key)
        save_image(out, draw_samples(samples, columns))
    print(f"{n} samples of step {step}: {out}")


def evaluate(experiment, args: list[str]) -> None:
    """The figures of a run on the test set; flags of the config replace the run's (another source, more samples)."""
    folder = find_run(args)
    stored = read_run(experiment, folder)[0] if folder else next(iter(experiment.presets.values()))

    @dataclass(frozen=True)
    class Evaluate:
        run: Path
        """The folder of the run."""
        config: Annotated[type(stored), tyro.conf.arg(name="")] = stored
        checkpoint: int | None = None
        """The step to use; default: the newest."""

    options = parse(Evaluate, args, f"{experiment.script} evaluate", evaluate.__doc__)
    folder = options.run
    _, trained_on = read_run(experiment, folder)
    use_devices(dataclasses.replace(options.config, mesh=1))
    training, test = load_data(options.config)
    check_data(options.config, training, trained_on)
    model, states, step = restore_run(experiment, folder, options.config, training, options.checkpoint)
    figures_of = experiment.evaluator(options.config, model, training, test)
    found = [figures_of(state) for state in states]
    figures = summary([one.figures for one in found])
    by = {"step": step, "extractor": found[0].extractor}
    record = by | {name: as_json(value) for name, value in figures.items()}
    (folder / "evaluation.json").write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    print(f"step {step}")
    _print_figures(figures)


def report(experiment, args: list[str]) -> None:
    """The pictures of a run, and a page that shows them with the settings and the figures."""

    @dataclass(frozen=True)
    class Report:
        run: Path
        """The folder of the run."""

    run = parse(Report, args, f"{experiment.script} report", report.__doc__).run
    config, _ = read_run(experiment, run)
    training, test = load_data(config)
    model, states, _ = restore_run(experiment, run, config, training, None)
    figures_of = experiment.evaluator(config, model, training, test)
    figures = summary([figures_of(state).figures for state in states])
    finish(experiment, run, config, model, states[0], (training, test), figures)


def diagnose(experiment, args: list[str]) -> None:
    """What fails in a run, and by what it shows, for small players with the eigenvalues of their game; also
    diagnosis.png in the run folder."""

    @dataclass(frozen=True)
    class Diagnose:
        run: Path
        """The folder of the run."""

    if experiment.diagnose is None:
        raise ValueError(f"{experiment.name}: only the training of a GAN is diagnosed")
    run = parse(Diagnose, args, f"{experiment.script} diagnose", diagnose.__doc__).run
    config, _ = read_run(experiment, run)
    if config.seeds > 1:
        raise ValueError(
            f"{run} is a population, whose metrics are means over {config.seeds} runs: diagnose a single run"
        )
    training, test = load_data(config)
    model, [state], step = restore_run(experiment, run, config, training, None)
    figures = experiment.evaluator(config, model, training, test)(state).figures
    records = [*read_metrics(run), {"step": step, **figures}]
    batch = training.batch(np.arange(config.batch_size * model.minibatches) % len(training))
    try:
        eigenvalues, note = game_eigenvalues(model, state, batch), ""
    except ValueError as too_large:
        eigenvalues, note = None, f"note      {too_large}\n"
    found = experiment.diagnose(records, training.label_names, eigenvalues)
    draw_diagnosis(run / "diagnosis.png", records, found, eigenvalues)
    print(f"{found}\n{note}", end="")
    print(f"figure    {run / 'diagnosis.png'}")


def translate(experiment, args: list[str]) -> None:
    """Translations of image files by a run, each image by itself; FILE-DOMAIN.png in a folder."""

    @dataclass(frozen=True)
    class Translate:
        run: Path
        """The folder of the run."""
        input: Path
        """An image, or a folder of images."""
        out: Path | None = None
        """The folder to write to; default: translations in the run folder."""
        to: str | None = None
        """The domain; default: all that there are."""
        keep_size: bool = False
        """Translate images at their own size, where the networks can, in place of the size of the run's."""
        seed: int = 0
        """Of the noise."""
        member: int = 0
        """Which member of a population."""
        checkpoint: int | None = None
        """The step to use; default: the newest."""

    if experiment.translate is None:
        raise ValueError(f"{experiment.name}: this model does not translate images")
    options = parse(Translate, args, f"{experiment.script} translate", translate.__doc__)
    config, data = read_run(experiment, options.run)
    model, states, step = restore_run(experiment, options.run, config, data, options.checkpoint)
    if not 0 <= options.member < len(states):
        raise ValueError(f"--member {options.member}: this run's members are 0 to {len(states) - 1}")
    state, key = states[options.member], jax.random.key(options.seed)
    example = next(data.example[name] for name in ("image", "source", "a") if name in data.example)
    files = image_files(options.input)
    made = _named(partial(experiment.translate, model, data))
    out, written = options.out or options.run / "translations", 0
    for file, stem in files:
        image = read_image(file, example.shape[-1], None if options.keep_size else example.shape[:2])
        try:
            found = made(state, key, jnp.asarray(image)[None])
        except FlaxError as error:  # weights of other shapes
            height, width = example.shape[:2]
            raise ValueError(f"--keep-size: the networks of this run are for {height}×{width} pixels") from error
        if options.to is not None and options.to not in found:
            raise ValueError(f"--to {options.to}: this run translates to {', '.join(found)}")
        for name in found if options.to is None else [options.to]:
            save_image(out / f"{stem}-{name.replace('/', '-')}.png", np.asarray(to_uint8(found[name][0])))
            written += 1
    print(f"{written} translations of {len(files)} images by step {step}: {out}/")


def finish(experiment, run: Path, config, model, state, data, figures: dict[str, float]) -> None:
    """Pictures, page, and the last lines: figures, where the pictures are, what to do next. `data` is the training and
    the test set."""
    save_image(run / "samples.png", drawer(experiment, model, *data)(state))
    if experiment.pictures:
        experiment.pictures(config, model, state, *data, run)
    plot_curves(run / "curves.png", read_metrics(run))
    write_page(run, f"{experiment.name}, step {int(state.step)}", settings_of(config), figures)
    _print_figures(figures)
    print(f"pictures  {run}/ {' '.join(path.name for path in pictures_of(run))} report.html")
    if config.steps:  # else it took the steps of its phases, and is complete
        print(f"go on     python -m {experiment.script} --run {run} --resume --steps {2 * int(state.step)}")
    print(f"sample    python -m {experiment.script} sample --run {run} --n 64 --out grid.png")


def _print_figures(figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):32} {value:.4g}")


def drawer(experiment, model, data, test) -> Callable[[State], np.ndarray]:
    """A function of a state that draws samples from the same latents each time, one row a class; of points a
    thousand. Of a model from images to images it draws the rows of the same test images."""
    if experiment.row:
        batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), ROWS)).astype(int))
        return partial(_rows(experiment, model, data), batch=batch)
    classes = getattr(model, "classes", 0)
    columns = 8
    points = len(data.example["image"].shape) == 1
    labels = {"label": jnp.repeat(jnp.arange(classes, dtype=jnp.int32), columns)} if classes else {}
    draw = jax.jit(partial(model.sample, n=1000 if points else columns * (classes or 8)))
    return lambda state: draw_samples(draw(state, jax.random.key(0), **labels), columns)


def _rows(experiment, model, data) -> Callable[[State, Mapping[str, np.ndarray]], np.ndarray]:
    """A function of a state and a batch of the test set that draws a row for each example."""
    row = _named(partial(experiment.row, model, data))

    def rows(state, batch):
        shown = row(state, jax.random.key(0), dict(batch))
        images = [to_uint8(x) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in shown.values()]
        channels = max(x.shape[-1] for x in images)
        images = jnp.stack([jnp.broadcast_to(x, (*x.shape[:-1], channels)) for x in images], axis=1)
        return image_grid(images.reshape(-1, *images.shape[2:]), len(shown), smallest=64, names=tuple(shown))

    return rows


def _named(images: Callable[..., Mapping[str, jax.Array]]) -> Callable[..., Mapping[str, jax.Array]]:
    """Compiled; the names stay in their order, which a dict's do not."""
    return jax.jit(lambda *inputs: OrderedDict(images(*inputs)))


def load_data(config) -> tuple[Dataset | StreamedDataset, Dataset | StreamedDataset]:
    """Training and test split of the config's source."""
    names = ("image_size", "channels", "flip", "jitter", "corrupt")
    options = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return load(config.source, "train", **options), load(config.source, "test", **options)


def use_devices(config) -> None:
    """Before JAX starts: one device a core for convolutional models and populations, as far as they divide; else
    one."""
    cores = os.cpu_count() or 1
    count = config.mesh
    if count is None and (config.convolutional or config.seeds > 1):
        count = _most(cores, config.seeds if config.seeds > 1 else config.batch_size)
    use_cpu_devices(count or 1)


def mesh_of(config) -> Mesh:
    """All devices or as many as the config says; of a population's members each device has equally many."""
    if config.mesh is None and config.seeds > 1:
        return data_mesh(_most(len(jax.devices()), config.seeds))
    return data_mesh(config.mesh)


def _most(devices: int, shared: int) -> int:
    """The most devices that share so many things equally."""
    return max(n for n in range(1, devices + 1) if shared % n == 0)
