"""Generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661), Algorithm 1.

python -m experiments.gan                      real digits, 8×8, about a minute on a laptop
python -m experiments.gan --loss minimax       the saturating game of the paper's equation 1
python -m experiments.gan mnist                dense players, Adam 2e-4 (0.9, 0.999)
python -m experiments.gan ring                 eight Gaussians, of which it keeps one (`grid`: twenty-five)
python -m experiments.gan ring --packing 2     PacGAN (Lin et al. 2018, arXiv:1712.04086)
"""

from dataclasses import replace

from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

ring = GANConfig(
    source="ring",
    network="points",
    latent=16,
    steps=25_000,
    batch_size=128,
    generator_learning_rate=1e-3,
    discriminator_learning_rate=1e-3,
    checkpoint_every=5000,
    eval_every=5000,
)
presets = {
    "digits": GANConfig(steps=24_000, checkpoint_every=4000, eval_every=8000),
    "mnist": GANConfig(source="tfds:mnist", steps=100 * 469, batch_size=128, eval_every=10 * 469, b1=0.9),
    "ring": ring,
    "grid": replace(ring, source="grid"),
}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
