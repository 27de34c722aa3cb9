"""Glow (Kingma & Dhariwal 2018, arXiv:1807.03039).

python -m experiments.glow                     real digits, 8×8 of 16 grey levels, a minute on a laptop
python -m experiments.glow --conditional       and their classes, by Bayes' rule
python -m experiments.glow mnist               28×28
python -m experiments.glow cifar10             the paper's settings (goal: 3.35 bits/dim)
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from experiments.flow import FlowConfig, build_flow, draw, evaluator
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Glow
from jaxgen.training.experiment import Experiment, main


@dataclass(frozen=True)
class GlowConfig(FlowConfig):
    width: int = 64
    """Channels of the coupling's networks."""
    coupling: Literal["affine", "additive"] = "affine"
    """What a coupling does to the other half."""
    mixing: Literal["convolution", "lu", "reverse"] = "convolution"
    """Of the channels before each coupling: 1×1 convolution, also in its LU form, or reversal."""


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
        warmup_steps=10 * 782,
        steps=1000 * 782,
        eval_every=10 * 782,
        checkpoint_every=10 * 782,
    ),
}


def build(config: GlowConfig, data) -> NormalizingFlow:
    shape = data.example["image"].shape
    if len(shape) == 1:
        raise ValueError(f"{config.source} has points, not images: experiments.realnvp has flows of points")
    options = config.levels, config.flow_steps, config.width, config.coupling, config.mixing
    network = partial(Glow, shape, *options, remat=config.remat, dtype=config.dtype)
    return build_flow(config, data, network)


experiment = Experiment(Path(__file__).stem, presets, build, evaluator, draw, __doc__)

if __name__ == "__main__":
    main(experiment)
