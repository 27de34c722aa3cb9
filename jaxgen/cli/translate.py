"""The command `translate`: translates image files with the model of a run."""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError

from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse
from jaxgen.cli.opened import OnRun
from jaxgen.data import image_files, read_image
from jaxgen.pixels import to_uint8
from jaxgen.report import save_image

__all__ = ["translate"]


@dataclass(frozen=True)
class Translate(OnRun):
    """The flags of `translate`."""

    input: Path = field(kw_only=True)
    """An image, or a folder of images."""
    out: Path | None = None
    """The folder to write to; by default translations in the run folder."""
    to: str | None = None
    """The domain to translate to; by default all."""
    keep_size: bool = False
    """Translate images at their own size, where the networks can, in place of the size of the run's."""
    seed: int = 0
    """The seed of the noise."""
    member: int = 0
    """The number of a population's member."""


def translate(experiment: Experiment, args: list[str]) -> None:
    """Translates image files, each by itself, to FILE-DOMAIN.png in a folder."""
    if experiment.translate is None:
        raise ValueError(f"{experiment.name}: this model does not translate images")
    translation = experiment.translate
    flags = parse(Translate, args, f"{experiment.program} translate", translate.__doc__ or "")
    run = flags.open(experiment)
    state, key = run.member(flags.member), jax.random.key(flags.seed)
    example = next(run.data.example[name] for name in ("image", "source", "a") if name in run.data.example)
    files = image_files(flags.input)
    # Compiled; an OrderedDict keeps the order of the names, which a dict loses.
    made = jax.jit(lambda *inputs: OrderedDict(translation(run.model, run.data, *inputs)))
    out, written = flags.out or flags.run / "translations", 0
    for file, stem in files:
        image = read_image(file, example.shape[-1], None if flags.keep_size else example.shape[:2])
        try:
            found = made(state, key, jnp.asarray(image)[None])
        except FlaxError as error:  # weights of other shapes
            height, width = example.shape[:2]
            raise ValueError(f"--keep-size: the networks of this run are for {height}×{width} pixels") from error
        if flags.to is not None and flags.to not in found:
            raise ValueError(f"--to {flags.to}: this run translates to {', '.join(found)}")
        for name in found if flags.to is None else [flags.to]:
            save_image(out / f"{stem}-{name.replace('/', '-')}.png", np.asarray(to_uint8(found[name][0])))
            written += 1
    print(f"{written} translations of {len(files)} images by step {run.step}: {out}/")
