"""The names of parts at the command line, one table each; in Python a part is an object."""

from jaxgen.losses import Bernoulli, DiscretisedLogistic, Gaussian, Likelihood

__all__ = ["LIKELIHOODS"]

LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(),
    "discretised_logistic": DiscretisedLogistic(),
}
