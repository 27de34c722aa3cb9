"""Figures of merit of generative models."""

from jaxgen.metrics.classifier import accuracy, train_classifier
from jaxgen.metrics.features import (
    Extractor,
    classifier_extractor,
    features_of,
    inception_extractor,
    real_features,
    sample_figures,
)
from jaxgen.metrics.frechet import fid, frechet_distance
from jaxgen.metrics.inception import InceptionV3, load_inception
from jaxgen.metrics.inception_score import inception_score
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.manifold import density_coverage, nearest_neighbours, precision_recall
from jaxgen.metrics.modes import ModeCoverage, class_coverage, mode_coverage, read_stacked
from jaxgen.metrics.ssim import ms_ssim, ms_ssim_diversity, ssim
from jaxgen.metrics.weights import read_weights

__all__ = [
    "Extractor",
    "InceptionV3",
    "ModeCoverage",
    "accuracy",
    "class_coverage",
    "classifier_extractor",
    "density_coverage",
    "features_of",
    "fid",
    "frechet_distance",
    "inception_extractor",
    "inception_score",
    "kid",
    "load_inception",
    "mode_coverage",
    "ms_ssim",
    "ms_ssim_diversity",
    "nearest_neighbours",
    "precision_recall",
    "read_stacked",
    "read_weights",
    "real_features",
    "sample_figures",
    "ssim",
    "train_classifier",
]
