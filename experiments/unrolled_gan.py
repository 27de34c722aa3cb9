"""Unrolled GAN (Metz et al. 2017, arXiv:1611.02163): the generator sees K steps of the discriminator ahead.

python -m experiments.unrolled_gan             eight Gaussians, K = 5, the paper's networks and rates
python -m experiments.unrolled_gan --unroll 0 --run runs/plain          what it cures
python -m experiments.unrolled_gan ring --seeds 5 --run runs/five       means over five seeds, in one program
python -m experiments.unrolled_gan stacked     1,000 modes: stacked MNIST, a discriminator of half the generator's size
"""

from dataclasses import replace

from experiments import gan
from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

ring = replace(
    gan.presets["ring"],
    network="points_tanh",
    latent=256,
    loss="minimax",
    unroll=5,
    batch_size=512,
    discriminator_learning_rate=1e-4,
)
presets = {
    "ring": ring,
    # At the paper's rates this D cannot follow: after 5,000 steps it still ranks pairs at random.
    "grid": replace(ring, source="grid", latent=16, batch_size=128, discriminator_learning_rate=1e-3),
    # By the non-saturating loss D soon wins, more so than without unrolling, and the three digits stay one.
    "stacked": GANConfig(
        source="stacked-digits:tfds:mnist",
        network="dcgan",
        width=16,
        discriminator_width=8,
        latent=256,
        loss="minimax",
        unroll=5,
        batch_size=128,
        discriminator_learning_rate=1e-4,
        steps=20_000,
        eval_every=5000,
    ),
}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
