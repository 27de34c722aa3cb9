"""SN-GAN (Miyato et al. 2018, arXiv:1802.05957): spectral normalisation, residual networks, hinge loss.

python -m experiments.sngan                    real digits, 16×16
python -m experiments.sngan mnist              28×28
python -m experiments.sngan cifar10            32×32, G 256 and D 128 channels, five steps of D, 100,000 steps
python -m experiments.sngan cifar10 --conditional --run runs/projection
                                               conditional batch norm and projection (Miyato & Koyama 2018)
"""

from dataclasses import replace

from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

cifar10 = GANConfig(
    source="tfds:cifar10",
    network="resnet",
    spectral_norm=True,
    latent=128,
    loss="hinge",
    discriminator_steps=5,
    b1=0.0,
    b2=0.9,
    linear_decay=True,
    generator_batch=2,
    steps=100_000,
    checkpoint_every=5000,
    eval_every=10_000,
)
small = {"checkpoint_every": 1000, "eval_every": 5000, "generator_batch": 1}
faster = {"generator_learning_rate": 5e-4, "discriminator_learning_rate": 5e-4}  # for a few minutes' budget
presets = {
    "digits": replace(
        cifar10, source="digits", image_size=16, width=16, steps=1200, discriminator_steps=2, **small, **faster
    ),
    "mnist": replace(cifar10, source="tfds:mnist", width=64, steps=20_000, discriminator_steps=2, **small),
    "cifar10": cifar10,
}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
