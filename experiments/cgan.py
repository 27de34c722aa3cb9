"""Conditional GAN (Mirza & Osindero 2014, arXiv:1411.1784): the label goes to both players.

python -m experiments.cgan                     real digits, 8×8, one row a class, about a minute on a laptop
python -m experiments.cgan mnist               the lab's network and settings, 150 epochs (goal: a classifier reads
                                               ≥ 95% of the samples as the class asked for)
"""

from experiments.shared.adversarial import GANConfig, gan_experiment
from jaxgen.cli import main

presets = {
    "digits": GANConfig(steps=24_000, checkpoint_every=4000, eval_every=8000, conditional=True, b1=0.9),
    "mnist": GANConfig(
        source="tfds:mnist", steps=150 * 469, batch_size=128, eval_every=10 * 469, conditional=True, b1=0.9
    ),
}

experiment = gan_experiment(__file__, presets, __doc__, best="label_accuracy", mode="max")

if __name__ == "__main__":
    main(experiment)
