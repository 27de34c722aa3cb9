"""DCGAN (Radford et al. 2016, arXiv:1511.06434): convolutional players, batch normalisation, Adam 2e-4 (0.5, 0.999).

python -m experiments.dcgan                    real digits, 16×16
python -m experiments.dcgan mnist              28×28, the paper's networks with two doublings
python -m experiments.dcgan cifar10            32×32, two steps of the discriminator, 200,000 steps
python -m experiments.dcgan paper --source folder:PATH      64×64, base width 64, batch 128
"""

from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

presets = {
    "digits": GANConfig(network="dcgan", image_size=16, width=32, steps=4000, eval_every=2000),
    "mnist": GANConfig(source="tfds:mnist", network="dcgan", steps=20_000, checkpoint_every=1000, eval_every=5000),
    "cifar10": GANConfig(
        source="tfds:cifar10",
        network="deep_conv",
        latent=128,
        steps=200_000,
        discriminator_steps=2,
        checkpoint_every=5000,
        eval_every=10_000,
    ),
    "paper": GANConfig(
        source="tfds:celeb_a",
        network="dcgan",
        image_size=64,
        steps=100_000,
        batch_size=128,
        checkpoint_every=5000,
        eval_every=10_000,
    ),
}

experiment = gan_experiment(__file__, presets, __doc__)

if __name__ == "__main__":
    main(experiment)
