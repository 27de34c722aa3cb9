"""Wasserstein GAN (Arjovsky et al. 2017, arXiv:1701.07875): a critic with clipped weights, which takes five steps for
each of the generator's; RMSprop 5e-5.

python -m experiments.wgan                     real digits, 16×16, ten times the paper's rate
python -m experiments.wgan mnist               28×28
python -m experiments.wgan cifar10             32×32
"""

from dataclasses import replace

from experiments import dcgan
from experiments.shared.adversarial import gan_experiment
from jaxgen.cli import main

changes = {
    "loss": "wasserstein",
    "clip": 0.01,
    "discriminator_steps": 5,
    "optimiser": "rmsprop",
    "generator_learning_rate": 5e-5,
    "discriminator_learning_rate": 5e-5,
}
presets = {name: replace(dcgan.presets[name], **changes) for name in ("digits", "mnist", "cifar10")}
faster = {"generator_learning_rate": 5e-4, "discriminator_learning_rate": 5e-4}  # for a minute's budget
presets["digits"] = replace(presets["digits"], width=16, steps=3000, eval_every=1500, **faster)

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
