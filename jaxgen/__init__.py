"""jaxgen: generative models in JAX and Flax, as pure functions.

A model is a frozen dataclass of networks, optimisers and numbers. Its `init`, `step` and `sample` are pure functions
that you may jit, scan, vmap and shard. Train a variational autoencoder on handwritten digits and draw sixteen samples:

    import jax
    import optax

    import jaxgen
    from jaxgen.networks import MLPDecoder, MLPEncoder

    digits = jaxgen.load("digits")
    vae = jaxgen.VAE(MLPEncoder(latent=10), MLPDecoder(shape=(8, 8, 1)), optax.adam(1e-3))
    state = jaxgen.fit(vae, digits, steps=2000, batch_size=64)
    images = vae.sample(state, jax.random.key(1), 16)  # (16, 8, 8, 1), in [-1, 1]

Where to look:

    jaxgen.load, Dataset       data by the name of a source ("digits", "folder:photos", ...), or from your own arrays
    jaxgen.GAN, VAE, ...       the models, one file each in jaxgen.models
    jaxgen.fit                 the training loop: logs, pictures, checkpoints, exact resume
    jaxgen.open_run            a finished or running run folder as an object: model, state, config, metrics, sample
    jaxgen.from_nnx            a Flax NNX module as a network of any model
    jaxgen.networks, layers    Flax Linen modules of the published architectures, and their parts
    jaxgen.losses, diffusion   losses, penalties and likelihoods; noise schedules and samplers
    jaxgen.metrics             figures of merit from arrays: FID, KID, precision and recall, disentanglement
    jaxgen.evaluation, report  what a trained state is worth; pictures and pages
    jaxgen.types               the protocols that a model of your own fulfils

All names are imported at their first use, so `import jaxgen` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "GAN",
    "VAE",
    "CycleGAN",
    "Dataset",
    "Diffusion",
    "DiscoGAN",
    "FactorVAE",
    "InfoGAN",
    "NormalizingFlow",
    "Pix2Pix",
    "ProgressiveGAN",
    "SinGAN",
    "StarGAN",
    "__version__",
    "cli",
    "data",
    "diffusion",
    "evaluation",
    "fit",
    "from_nnx",
    "layers",
    "load",
    "losses",
    "metrics",
    "models",
    "networks",
    "open_run",
    "optimisers",
    "pixels",
    "report",
    "sharding",
    "training",
    "types",
]

_HOMES = {
    "Dataset": "jaxgen.data",
    "fit": "jaxgen.training",
    "from_nnx": "jaxgen.networks.nnx",
    "load": "jaxgen.data",
    "open_run": "jaxgen.cli",
}
"""The modules that hold the functions and classes of `__all__`. The models, whose names begin with a capital, are in
`jaxgen.models`; the other names are subpackages and modules."""

if TYPE_CHECKING:
    from jaxgen import (
        cli,
        data,
        diffusion,
        evaluation,
        layers,
        losses,
        metrics,
        models,
        networks,
        optimisers,
        pixels,
        report,
        sharding,
        training,
        types,
    )
    from jaxgen.cli import open_run
    from jaxgen.data import Dataset, load
    from jaxgen.models import (
        GAN,
        VAE,
        CycleGAN,
        Diffusion,
        DiscoGAN,
        FactorVAE,
        InfoGAN,
        NormalizingFlow,
        Pix2Pix,
        ProgressiveGAN,
        SinGAN,
        StarGAN,
    )
    from jaxgen.networks.nnx import from_nnx
    from jaxgen.training import fit


def __getattr__(name: str) -> Any:
    """Imports a name of `__all__` at its first use."""
    if name not in __all__:
        raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
    home = _HOMES.get(name, "jaxgen.models" if name[0].isupper() else None)
    value = getattr(import_module(home), name) if home else import_module(f"jaxgen.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted(__all__)
