"""Figures of merit of generative models: arrays in, numbers out.

`python -m jaxgen.metrics REAL GENERATED` compares two folders of images.
"""

from jaxgen.metrics.calibration import Reliability, reliability
from jaxgen.metrics.disentanglement import (
    DCI,
    active_units,
    dci,
    disentanglement_scores,
    explicitness,
    irs,
    mig,
    modularity,
    mutual_information,
    sap,
    total_correlation,
    unsupervised_scores,
    wasserstein_correlation,
)
from jaxgen.metrics.features import (
    Extractor,
    features_of,
    inception_extractor,
    pixel_extractor,
    random_extractor,
    sample_figures,
)
from jaxgen.metrics.frechet import fid, frechet_distance
from jaxgen.metrics.inception import InceptionV3, load_inception
from jaxgen.metrics.inception_score import inception_score
from jaxgen.metrics.interventions import beta_vae_score, factor_vae_score
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.manifold import density_coverage, nearest_neighbours, precision_recall
from jaxgen.metrics.modes import ModeCoverage, class_coverage, mode_coverage, read_stacked
from jaxgen.metrics.probes import ProbeAccuracy, probe
from jaxgen.metrics.representation import RepresentationWarning
from jaxgen.metrics.single_image import diversity, patches, sifid
from jaxgen.metrics.ssim import ms_ssim, ms_ssim_diversity, psnr, ssim
from jaxgen.metrics.weights import read_weights

__all__ = [
    "DCI",
    "Extractor",
    "InceptionV3",
    "ModeCoverage",
    "ProbeAccuracy",
    "Reliability",
    "RepresentationWarning",
    "active_units",
    "beta_vae_score",
    "class_coverage",
    "dci",
    "density_coverage",
    "disentanglement_scores",
    "diversity",
    "explicitness",
    "factor_vae_score",
    "features_of",
    "fid",
    "frechet_distance",
    "inception_extractor",
    "inception_score",
    "irs",
    "kid",
    "load_inception",
    "mig",
    "mode_coverage",
    "modularity",
    "ms_ssim",
    "ms_ssim_diversity",
    "mutual_information",
    "nearest_neighbours",
    "patches",
    "pixel_extractor",
    "precision_recall",
    "probe",
    "psnr",
    "random_extractor",
    "read_stacked",
    "read_weights",
    "reliability",
    "sample_figures",
    "sap",
    "sifid",
    "ssim",
    "total_correlation",
    "unsupervised_scores",
    "wasserstein_correlation",
]
