"""What a trained state is worth: evaluators of samples, likelihoods, latent spaces and translations, and the diagnosis
of a GAN.

    evaluate = image_evaluator(model.sample, train, test, classes=model.classes)
    found    = evaluate(state)
    found.figures["fid"], found.extractor, found.counts

An evaluator is a function from a state to its `Evaluation`. It is made from data, counts, extractors and functions of
the state, so that it serves any model with such functions. Pictures are in `jaxgen.evaluation.pictures`.
"""

from jaxgen.evaluation.classifier import accuracy, classifier_extractor, train_classifier
from jaxgen.evaluation.codes import code_evaluator
from jaxgen.evaluation.density import density_evaluator
from jaxgen.evaluation.diagnosis import Diagnosis, diagnose
from jaxgen.evaluation.features import (
    code_features,
    discriminator_features,
    images_of,
    pca_features,
    posterior_features,
    real_features,
)
from jaxgen.evaluation.game import game_eigenvalues, game_jacobian
from jaxgen.evaluation.interpolation import slerp
from jaxgen.evaluation.latent_space import disentanglement_evaluator, vae_evaluator
from jaxgen.evaluation.likelihood import bits_evaluator, likelihood_evaluator
from jaxgen.evaluation.points import point_evaluator
from jaxgen.evaluation.result import Evaluation, Evaluator, joined
from jaxgen.evaluation.samples import Sample, image_evaluator, nearest_training_images, sample_count, sampled
from jaxgen.evaluation.single_image import single_image_evaluator
from jaxgen.evaluation.stacked import stacked_evaluator
from jaxgen.evaluation.translation import (
    attribute_evaluator,
    attribute_readers,
    paired_evaluator,
    two_domains_evaluator,
)

__all__ = [
    "Diagnosis",
    "Evaluation",
    "Evaluator",
    "Sample",
    "accuracy",
    "attribute_evaluator",
    "attribute_readers",
    "bits_evaluator",
    "classifier_extractor",
    "code_evaluator",
    "code_features",
    "density_evaluator",
    "diagnose",
    "discriminator_features",
    "disentanglement_evaluator",
    "game_eigenvalues",
    "game_jacobian",
    "image_evaluator",
    "images_of",
    "joined",
    "likelihood_evaluator",
    "nearest_training_images",
    "paired_evaluator",
    "pca_features",
    "point_evaluator",
    "posterior_features",
    "real_features",
    "sample_count",
    "sampled",
    "single_image_evaluator",
    "slerp",
    "stacked_evaluator",
    "train_classifier",
    "two_domains_evaluator",
    "vae_evaluator",
]
