"""Generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661), Algorithm 1.

python -m experiments.gan                      real digits, 8×8, about a minute on a laptop
python -m experiments.gan --loss minimax       the saturating game of the paper's equation 1
python -m experiments.gan mnist                dense players, Adam 2e-4 (0.5, 0.999)
"""

from pathlib import Path

from experiments.adversarial import GANConfig, build, class_evaluator, draw_latent_space
from jaxgen.training.experiment import Experiment, main

presets = {
    "digits": GANConfig(steps=24000, checkpoint_every=4000, eval_every=8000),
    "mnist": GANConfig(source="tfds:mnist", steps=100 * 469, batch_size=128, eval_every=10 * 469),
}

experiment = Experiment(Path(__file__).stem, presets, build, class_evaluator, draw_latent_space, __doc__)

if __name__ == "__main__":
    main(experiment)
