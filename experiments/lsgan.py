"""Least-squares GAN (Mao et al. 2017, arXiv:1611.04076): the DCGAN in a game of squared errors, with the factors ½.

python -m experiments.lsgan                    real digits, 16×16
python -m experiments.lsgan mnist              28×28
python -m experiments.lsgan cifar10            32×32, two steps of the discriminator, 200,000 steps
"""

from dataclasses import replace

from experiments import dcgan
from experiments.shared.adversarial import gan_experiment
from jaxgen.cli import main

presets = {name: replace(dcgan.presets[name], loss="least_squares") for name in ("digits", "mnist", "cifar10")}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
