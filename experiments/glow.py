"""Glow (Kingma & Dhariwal 2018, arXiv:1807.03039).

python -m experiments.glow                     real digits, 8×8 of 16 grey levels, a minute on a laptop
python -m experiments.glow --conditional       and their classes, by Bayes' rule
python -m experiments.glow mnist               28×28
python -m experiments.glow cifar10             the paper's settings (goal: 3.35 bits/dim)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from experiments.shared.flow import FlowConfig, FlowSampling, build_flow, draw, evaluator
from jaxgen.cli import Experiment, at_least, main
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Glow


@dataclass(frozen=True)
class GlowConfig(FlowConfig):
    """The settings of Glow."""

    width: int = 64
    """The channels of the networks in a coupling."""
    coupling: Literal["affine", "additive"] = "affine"
    """What a coupling does to the other half."""
    mixing: Literal["convolution", "lu", "reverse"] = "convolution"
    """How channels are mixed before each coupling: by a 1×1 convolution, also in its LU form, or by reversal."""

    def __post_init__(self) -> None:
        at_least(1, self, "width")
        super().__post_init__()


presets = {
    "digits": GlowConfig(steps=2000, bits=4, width=32, flow_steps=4, cosine_decay=True, ema=0.99),
    "mnist": GlowConfig(
        source="tfds:mnist", width=128, steps=50 * 938, cosine_decay=True, ema=0.999, eval_every=5 * 938
    ),
    "cifar10": GlowConfig(
        source="tfds:cifar10",
        flip=True,
        levels=3,
        flow_steps=32,
        width=512,
        optimiser="adamax",
        warmup=0.01,
        steps=1000 * 782,
        eval_every=10 * 782,
        checkpoint_every=10 * 782,
    ),
}


def build(config: GlowConfig, data: Any) -> NormalizingFlow:
    """Returns the Glow of a config for images like those of `data`."""
    shape = data.example["image"].shape
    if len(shape) == 1:
        raise ValueError(f"{config.source} has points, not images: the experiment realnvp has flows of points")
    options = config.levels, config.flow_steps, config.width, config.coupling, config.mixing
    network = partial(Glow, shape, *options, remat=config.remat, dtype=config.dtype)
    return build_flow(config, data, network)


experiment = Experiment(__file__, presets, build, evaluator, draw, sampling=FlowSampling, doc=__doc__)

if __name__ == "__main__":
    main(experiment)
