"""The command `sample`: draws a grid of samples of a run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse
from jaxgen.cli.opened import OnRun, config_of
from jaxgen.cli.report import picture_of
from jaxgen.report import save_image

__all__ = ["sample"]


@dataclass(frozen=True)
class SampleFlags(OnRun):
    """The flags of `sample` beside those of the experiment's sampling."""

    n: int = 64
    """The number of samples; a conditional model draws whole rows, one for each class."""
    out: Path | None = None
    """The PNG to write; by default samples.png in the run folder."""
    seed: int = 0
    """The seed of the noise."""
    member: int = 0
    """The number of a population's member."""


def sample(experiment: Experiment, args: list[str]) -> None:
    """Draws a grid of samples; a conditional model draws one row for each class."""
    import tyro

    kind = experiment.sampling
    default = kind.of(config_of(experiment, args))

    @dataclass(frozen=True)
    class Sample(SampleFlags):
        sampling: Annotated[kind, tyro.conf.arg(name="")] = default  # pyright: ignore[reportInvalidTypeForm]

    flags = parse(Sample, args, f"{experiment.program} sample", sample.__doc__ or "")
    run = flags.open(experiment)
    chosen = {field.name: getattr(flags.sampling, field.name) for field in dataclasses.fields(kind)}
    made = run.draw(flags.n, flags.seed, flags.member, **chosen)
    out = flags.out or flags.run / "samples.png"
    save_image(out, picture_of(made))
    print(f"{len(made.images)} samples of step {run.step}: {out}")
