"""RealNVP (Dinh et al. 2017, arXiv:1605.08803), and flows of points.

python -m experiments.realnvp                  real digits, 8×8 of 16 grey levels, a minute on a laptop
python -m experiments.realnvp mnist            28×28, three scales, couplings by splines: an hour on a laptop
python -m experiments.realnvp cifar10          the paper's settings (goal: 3.49 bits/dim)
python -m experiments.realnvp moons            points, by splines (Durkan et al. 2019); `swissroll`, `ring`
python -m experiments.realnvp moons --coupling affine
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from experiments.shared.flow import FlowConfig, FlowSampling, build_flow, draw, evaluator
from jaxgen.cli import Experiment, at_least, main
from jaxgen.models import NormalizingFlow
from jaxgen.networks import PointFlow, RealNVP


@dataclass(frozen=True)
class RealNVPConfig(FlowConfig):
    """The settings of RealNVP and of flows of points."""

    width: int = 32
    """The channels of the residual networks at full size, or for points the units of the hidden layers."""
    blocks: int = 2
    """The number of residual blocks of each network."""
    alpha: float = 0.05
    """The flow sees logit(α + (1 - 2α) pixel); 0: the pixel."""
    coupling: Literal["affine", "spline"] = "affine"
    """What a coupling does to a value: RealNVP's affine map, or a monotone spline."""

    def __post_init__(self) -> None:
        at_least(1, self, "width", "blocks")
        super().__post_init__()

    @property
    def convolutional(self) -> bool:
        """Whether the data are images."""
        return self.source not in ("moons", "swissroll", "ring", "grid")


moons = RealNVPConfig(
    source="moons",
    steps=4000,
    batch_size=512,
    width=64,
    coupling="spline",
    cosine_decay=True,
    eval_every=2000,
    checkpoint_every=2000,
)
presets = {
    "digits": RealNVPConfig(steps=1000, bits=4, width=8, blocks=1, cosine_decay=True, ema=0.99),
    "mnist": RealNVPConfig(
        source="tfds:mnist",
        levels=3,
        width=16,
        blocks=1,
        coupling="spline",
        alpha=1 / 256,
        steps=8 * 938,
        learning_rate=2e-3,
        cosine_decay=True,
        ema=0.999,
        eval_every=4 * 938,
    ),
    "cifar10": RealNVPConfig(
        source="tfds:cifar10",
        flip=True,
        steps=500 * 782,
        width=64,
        blocks=8,
        weight_decay=5e-5,
        eval_every=10 * 782,
        checkpoint_every=10 * 782,
    ),
    "moons": moons,
    "swissroll": replace(moons, source="swissroll"),
    "ring": replace(moons, source="ring"),
}


def build(config: RealNVPConfig, data: Any) -> NormalizingFlow:
    """Returns the flow of a config for examples like those of `data`."""
    shape = data.example["image"].shape
    common = {"remat": config.remat, "dtype": config.dtype}
    if len(shape) == 1:
        hidden = (config.width, config.width)
        network = partial(PointFlow, shape, config.coupling, config.flow_steps, hidden, **common)
        return build_flow(config, data, network)
    network = partial(RealNVP, shape, config.levels, config.width, config.blocks, config.coupling, **common)
    return build_flow(config, data, network, config.alpha)


experiment = Experiment(__file__, presets, build, evaluator, draw, sampling=FlowSampling, doc=__doc__)

if __name__ == "__main__":
    main(experiment)
