"""WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): a critic without batch normalisation whose slope is held at 1.

python -m experiments.wgan_gp                  real digits, 16×16, DIM 16, Adam 5e-4
python -m experiments.wgan_gp mnist            28×28, DIM 64, Adam 1e-4 (0.5, 0.9)
python -m experiments.wgan_gp cifar10          32×32, residual networks, Adam 2e-4 (0, 0.9), linear decay
python -m experiments.wgan_gp ring             eight Gaussians, λ 0.1 (`grid`: twenty-five)
python -m experiments.wgan_gp toy              the paper's toy networks, three layers of 512
"""

from dataclasses import replace

from experiments import gan
from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

critic = {"loss": "wasserstein", "penalty": ("gradient_penalty",), "discriminator_steps": 5}
adam = {"generator_learning_rate": 1e-4, "discriminator_learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}
images = GANConfig(network="wgan_gp", latent=128, **critic, **adam)
ring = replace(gan.presets["ring"], penalty_weight=0.1, batch_size=256, latent=2, **critic, **adam)
faster = {"generator_learning_rate": 5e-4, "discriminator_learning_rate": 5e-4}  # for a few minutes' budget
presets = {
    "digits": replace(images, image_size=16, width=16, steps=2000, eval_every=1000, **faster),
    "mnist": replace(
        images, source="tfds:mnist", batch_size=50, steps=200_000, checkpoint_every=5000, eval_every=10_000
    ),
    "cifar10": replace(
        images,
        source="tfds:cifar10",
        network="resnet",
        steps=100_000,
        generator_learning_rate=2e-4,
        discriminator_learning_rate=2e-4,
        b1=0.0,
        linear_decay=True,
        generator_batch=2,
        checkpoint_every=5000,
        eval_every=10_000,
    ),
    "ring": ring,
    "grid": replace(ring, source="grid"),
    "toy": replace(ring, network="points_wide"),
}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
