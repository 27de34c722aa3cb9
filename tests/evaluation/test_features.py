from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.data import Dataset
from jaxgen.evaluation import (
    code_features,
    discriminator_features,
    images_of,
    pca_features,
    posterior_features,
    real_features,
)
from jaxgen.evaluation.features import largest_in_grid
from jaxgen.metrics import Extractor, features_of
from jaxgen.models import GAN, VAE, InfoGAN
from jaxgen.networks import (
    BetaVAEDecoder,
    BetaVAEEncoder,
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    MLPDecoder,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
    ResNetDiscriminator,
)
from jaxgen.pixels import normalise

SHAPE = (16, 16, 1)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (5, *SHAPE)), jnp.uint8)
VAES = {
    "mlp": (MLPEncoder(3, (20, 7)), MLPDecoder(SHAPE, (9,)), "Dense_2"),
    "conv": (ConvEncoder(3, 4, 7), ConvDecoder(SHAPE, 4, 7), "Dense_1"),
    "beta_vae": (BetaVAEEncoder(3), BetaVAEDecoder(SHAPE), "Dense_1"),
}


def gan(discriminator, **options):
    generator = MLPGenerator(SHAPE, 8, (8,), options.get("classes", 0))
    return GAN(generator, discriminator, optax.adam(1e-3), optax.adam(1e-3), latent=4, **options)


def started(model):
    return jax.jit(model.init)(jax.random.key(0), {"image": IMAGES})


@pytest.mark.parametrize("name", VAES)
def test_posterior(name):
    """The mean, and the layer from which the last dense one makes it."""
    *networks, last = VAES[name]
    vae = VAE(*networks, optax.adam(1e-3))
    state = started(vae)
    mean = jax.jit(vae.encode)(state, IMAGES)[0]
    np.testing.assert_allclose(posterior_features(vae, state)(IMAGES), mean, rtol=1e-5, atol=1e-6)
    hidden = posterior_features(vae, state, hidden=True)(IMAGES)
    weights = state.params["encoder"][last]
    assert hidden.shape == (5, len(weights["kernel"])) and (hidden >= 0).all() and (hidden > 0).any()
    np.testing.assert_allclose((hidden @ weights["kernel"] + weights["bias"])[:, :3], mean, rtol=1e-4, atol=1e-5)


def test_codes_of_infogan():
    networks = InfoGANGenerator(SHAPE, 4), InfoGANDiscriminator((6, 3), 2, 4)
    model = InfoGAN(*networks, optax.adam(1e-3), optax.adam(1e-3), latent=5, categorical=(6, 3))
    state = started(model)
    codes, inferred = code_features(model, state)(IMAGES), jax.jit(model.infer)(state, IMAGES)
    assert codes.shape == (5, 11)
    np.testing.assert_array_equal(codes[:, :6].argmax(1), inferred.categorical[:, 0])
    np.testing.assert_array_equal(codes[:, 6:9].argmax(1), inferred.categorical[:, 1])
    np.testing.assert_allclose(codes[:, 9:], inferred.continuous, rtol=1e-5, atol=1e-6)
    hidden, weights = code_features(model, state, hidden=True)(IMAGES), state.discriminator.params["q"]["Dense_1"]
    np.testing.assert_allclose((hidden @ weights["kernel"] + weights["bias"])[:, :11], codes, rtol=1e-4, atol=1e-5)
    layers = discriminator_features(model, state)(IMAGES)
    assert layers.shape == (5, 16 * 4 + 16 * 8 + 64 + 8)  # two convolutions, the dense layer once, Q's
    np.testing.assert_allclose(layers[:, -8:], hidden, rtol=1e-5, atol=1e-6)


def test_dcgan_by_hand():
    """All layers after their activation, a convolution's as maxima over a grid of 4×4."""
    model = gan(DCGANDiscriminator(6))
    state = started(model)
    found = discriminator_features(model, state)(IMAGES)
    assert found.shape == (5, 16 * (6 + 12))
    params = state.discriminator.params
    x = jax.lax.conv_general_dilated(
        normalise(IMAGES), params["Conv_0"]["kernel"], (2, 2), [(1, 1)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    first = nn.max_pool(nn.leaky_relu(x, 0.2), (2, 2), (2, 2))
    np.testing.assert_allclose(found[:, :96], first.reshape(5, -1), rtol=1e-4, atol=1e-6)
    logits = found[:, 96:] @ params["Dense_0"]["kernel"]  # of 4×4 maps, which are not pooled
    np.testing.assert_allclose(logits[:, 0], jax.jit(model.discriminate)(state, IMAGES), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("discriminator", "units"),
    [
        (MLPDiscriminator((20, 10), joint=5), 20 + 10 + 5),
        (ResNetDiscriminator((4, 4)), 16 * 4 + 16 + 16 * 4 * 2 + 16 * 4 + 4),  # with the image at the first shortcut
    ],
)
def test_of_other_discriminators(discriminator, units):
    model = gan(discriminator)
    found = discriminator_features(model, started(model))(IMAGES)
    assert found.shape == (5, units) and found.dtype == jnp.float32
    assert np.isfinite(found).all() and np.std(found, axis=0).max() > 0


def test_pooling_of_any_size():
    x = np.random.default_rng(1).normal(size=(2, 7, 3, 2))
    found = np.asarray(largest_in_grid(jnp.asarray(x)))
    rows = [x[:, top:stop].max(1) for top, stop in ((0, 2), (1, 4), (3, 6), (5, 7))]
    np.testing.assert_allclose(found, np.stack(rows, 1), rtol=1e-6)


def test_principal_components():
    images = np.random.default_rng(2).integers(0, 256, (60, 3, 4, 1)).astype(np.uint8)
    pixels = images.reshape(60, 12) / 127.5 - 1
    found = np.asarray(pca_features(Dataset({"image": images}), 5)(images))
    variances = np.linalg.eigvalsh(np.cov(pixels, rowvar=False))[::-1][:5]
    np.testing.assert_allclose(np.cov(found, rowvar=False), np.diag(variances), atol=1e-5)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    with pytest.raises(ValueError, match="13 components: 60 images of 12 pixels have 1 to 12"):
        pca_features(Dataset({"image": images}), 13)


def test_labels_would_be_told():
    vae = VAE(MLPEncoder(3, (4,), 10), MLPDecoder(SHAPE, (4,), 10), optax.adam(1e-3), classes=10)
    with pytest.raises(ValueError, match="VAE: its network sees labels"):
        posterior_features(vae, started(vae))
    packed = gan(DCGANDiscriminator(6), packing=2)
    with pytest.raises(ValueError, match="GAN: its network sees 2 examples at a time"):
        discriminator_features(packed, started(packed))
    conditional = replace(packed, packing=1, classes=10, discriminator=DCGANDiscriminator(6, 10))
    with pytest.raises(ValueError, match="GAN: its network sees labels"):
        discriminator_features(conditional, None)


class Rows:
    """Features: the mean of each row; counts the images it sees."""

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += len(image)
        return np.asarray(image, np.float32).mean((2, 3))


def data(n=250, seed=0):
    return Dataset({"image": np.random.default_rng(seed).integers(0, 256, (n, 6, 4, 1)).astype(np.uint8)})


def test_images_of_a_data_set_are_all_of_them_in_order():
    batches = list(images_of(data(), 70))
    assert [len(batch) for batch in batches] == [70, 70, 70, 40]
    np.testing.assert_array_equal(np.concatenate(batches), data().arrays["image"])


def test_real_features_are_kept_by_content_extractor_and_number():
    rows = Rows()
    extractor, seen = Extractor("rows", rows), []
    for name, source, n in [
        ("rows", data(), 120),
        ("rows", data(), 120),  # kept
        ("rows", data(), 1000),  # all there are
        ("rows", data(seed=1), 120),  # other images
        ("other rows", data(), 120),
        ("rows", Dataset({**data().arrays, "label": np.zeros(250, np.int32)}), 120),  # the same images
    ]:
        extractor = Extractor(name, rows)
        features = real_features(extractor, source, n)
        assert features.shape == (min(n, 250), 6)
        seen.append(rows.seen)
    assert np.diff([0, *seen]).tolist() == [120, 0, 250, 120, 120, 0]
    rows_of_all = features_of(extractor, images_of(data()))
    chosen = [np.flatnonzero((rows_of_all == row).all(1)) for row in real_features(extractor, data(), 120)]
    assert len(np.unique(np.concatenate(chosen))) == 120 and np.concatenate(chosen).max() > 200  # random, not the first
    with pytest.raises(ValueError, match="features of 0 examples"):
        real_features(extractor, data(), 0)
