"""β-VAE (Higgins et al. 2017): the KL term weighs β, which trades reconstruction for a simpler, axis-aligned code.

python -m experiments.beta_vae                 real digits, 16×16, β = 4, about a minute on a laptop
python -m experiments.beta_vae --beta 1        the plain VAE, to compare: more latent units in use
python -m experiments.beta_vae mnist           convolutional, 30 epochs
"""

from pathlib import Path

from experiments.latent import draw_latent_space, draw_traversals, vae_evaluator
from experiments.vae import VAEConfig, build
from jaxgen.training.experiment import Experiment, main

presets = {
    "digits": VAEConfig(image_size=16, latent=10, beta=4.0),
    "mnist": VAEConfig(
        source="tfds:mnist",
        network="conv",
        latent=10,
        beta=4.0,
        steps=30 * 938,
        learning_rate=5e-4,
        eval_every=5 * 938,
    ),
}


def draw(config, model, state, train, test, run: Path) -> None:
    draw_latent_space(config, model, state, train, test, run)
    draw_traversals(config, model, state, train, test, run)


experiment = Experiment(Path(__file__).stem, presets, build, vae_evaluator, draw, __doc__, best="test_elbo", mode="max")

if __name__ == "__main__":
    main(experiment)
