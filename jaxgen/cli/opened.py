"""What the commands on a run share: the flags that name it, and how it is opened on the devices of its config."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse_known
from jaxgen.cli.process import use_devices
from jaxgen.cli.run import Run, open_run, read_run

__all__ = ["OnRun", "config_of"]


@dataclass(frozen=True)
class OnRun:
    """The flags of a command on a run."""

    run: Path
    """The folder of the run."""
    checkpoint: int | None = None
    """The step to use; by default the newest."""

    def open(self, experiment: Experiment) -> Run:
        """Opens the run, on the devices that its training used; it must be called before JAX starts."""
        config, _ = read_run(experiment, self.run)
        use_devices(config)
        return open_run(self.run, checkpoint=self.checkpoint, experiment=experiment)


def config_of(experiment: Experiment, args: Sequence[str]) -> Any:
    """Returns the config of the run that the words of a command name by --run, whose values are then the defaults of
    its flags; without --run, the experiment's default preset."""
    first = next(iter(experiment.presets.values()))
    if not any(arg == "--run" or arg.startswith("--run=") for arg in args):
        return first
    where, _ = parse_known(OnRun, args, experiment.program, add_help=False)
    return read_run(experiment, where.run)[0]
