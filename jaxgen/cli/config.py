"""The settings of a run: a typed dataclass whose fields are the flags of the command line.

An experiment's config inherits from `Config` and from the groups of settings that it uses:

    @dataclass(frozen=True)
    class MyConfig(MirrorOptions, Config):
        learning_rate: float = 1e-3
        \"\"\"The learning rate of Adam.\"\"\"
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from jaxgen.cli.flags import flag_of

__all__ = [
    "Checked",
    "Config",
    "DataOptions",
    "EvaluationOptions",
    "MirrorOptions",
    "SampleOptions",
    "at_least",
    "positive",
    "settings_of",
]


@dataclass(frozen=True)
class Checked:
    """The root of all groups of settings: each group checks its own fields in `__post_init__`, then calls super's."""

    def __post_init__(self) -> None:
        """Raises ValueError, naming the flag and what is allowed, for a value that is not allowed."""


@dataclass(frozen=True)
class EvaluationOptions(Checked):
    """A group of settings that the command `evaluate` offers as flags too."""


@dataclass(frozen=True)
class DataOptions(EvaluationOptions):
    """Where the data come from, and what is made of images when they are read."""

    source: str = "digits"
    """The data: `digits`, `sprites`, `ring`, `tfds:NAME`, `folder:PATH` and others; see `jaxgen.data.load`."""
    image_size: int | None = None
    """Resize images to this number of pixels a side."""
    channels: Literal[1, 3] | None = None
    """Make images grey (1) or RGB (3)."""
    corrupt: Literal["skip", "fail"] = "skip"
    """Whether unreadable files are skipped with a warning, or stop the run."""

    def __post_init__(self) -> None:
        at_least(1, self, "image_size")
        super().__post_init__()


@dataclass(frozen=True)
class SampleOptions(EvaluationOptions):
    """How samples are measured."""

    eval_samples: int | None = None
    """The number of samples that figures are computed from; by default 10,000, or fewer for few real images."""
    inception: str | None = None
    """A weight file of Inception-v3, by which FID and the like are then computed; by default a classifier of the data
    is trained for that."""

    def __post_init__(self) -> None:
        at_least(2, self, "eval_samples")
        super().__post_init__()


@dataclass(frozen=True)
class Config(DataOptions):
    """The settings that every run has."""

    steps: int = 2000
    """The number of training steps."""
    batch_size: int = 64
    """The number of examples in a minibatch."""
    seed: int = 0
    """The seed of the parameters, the noise and the order of the data."""
    seeds: int = 1
    """Train this number of seeds at once, from `seed` on; figures are then means and standard deviations over them."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The precision of the networks' arithmetic; parameters and losses are float32."""
    mesh: int | None = None
    """The number of devices that share each batch. By default all accelerators; on a CPU all cores for convolutions,
    and one device for other networks."""
    log_every: int = 100
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; 0: only at the end."""
    eval_every: int = 1000
    """Steps between evaluations and sample pictures; 0: only at the end."""

    convolutional: ClassVar[bool] = True
    """Whether the networks are convolutional, which decides the number of devices on a CPU; may be a property."""
    retired: ClassVar[frozenset[str]] = frozenset()
    """Fields that runs of earlier versions have, and that had no effect."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            at_least(1, self, "steps")
        at_least(1, self, "batch_size", "seeds", "mesh")
        at_least(0, self, "log_every", "checkpoint_every", "eval_every")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed {self.seed}: 0 to 2**32 - 1 is allowed")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Converts the stored fields of a run of an earlier version; a config that renames a field overrides this."""
        return {name: value for name, value in stored.items() if name not in cls.retired}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "Config":
        """Returns the config from the fields that JSON keeps. A field that is not stored has its default.

        ValueError for fields that the class does not have.
        """
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in cls.upgraded(stored).items()}
        if unknown := set(settings) - {field.name for field in dataclasses.fields(cls)}:
            raise ValueError(f"fields that this version does not have: {' '.join(sorted(unknown))}")
        return cls(**settings)


@dataclass(frozen=True)
class MirrorOptions(Checked):
    """How images are augmented in training."""

    flip: bool = False
    """In training, mirror each image left to right with probability 1/2."""


def at_least(least: int | float, config: Any, *names: str) -> None:
    """Raises ValueError where a field of `config` is less than `least`, or not finite. None is allowed."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not least <= value < math.inf:
            raise ValueError(f"{flag_of(name)} {value}: at least {least} is needed")


def positive(config: Any, *names: str) -> None:
    """Raises ValueError where a field of `config` is not a positive finite number."""
    for name in names:
        value = getattr(config, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{flag_of(name)} {value}: a positive number is needed")


def settings_of(config: Any) -> dict[str, Any]:
    """Returns the fields of a config, as JSON keeps them."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
