"""The players of one scale of SinGAN: parameters, receptive field, patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import SinGANDiscriminator, SinGANGenerator

image = jax.random.normal(jax.random.key(0), (1, 17, 21, 3))


def variables(network, *inputs):
    return jax.jit(network.init)(jax.random.key(0), *inputs)


def test_parameters_of_a_scale(count):
    assert count(SinGANGenerator(), image, image) == 29_763
    assert count(SinGANDiscriminator(), image) == 29_185


def test_receptive_field_is_eleven_pixels():
    make, judge = SinGANGenerator(3), SinGANDiscriminator(3)
    made, judged = variables(make, image, image), variables(judge, image)

    def reach(f, row, column):
        gradient = jax.grad(lambda x: f(x)[0, row, column].sum())(jnp.zeros_like(image))
        rows, columns = np.nonzero(np.abs(gradient[0]).sum(-1))
        return (rows.min(), rows.max()), (columns.min(), columns.max())

    noise = 0.1 * image
    assert reach(lambda x: make.apply(made, x + noise, noise), 8, 9) == ((3, 13), (4, 14))
    assert reach(lambda x: judge.apply(judged, x + noise), 2, 4) == ((2, 12), (4, 14))


def test_generator_adds_to_the_image_and_the_discriminator_judges_patches():
    make, judge = SinGANGenerator(3), SinGANDiscriminator(3)
    made = variables(make, image, image)
    still = jax.tree.map(jnp.zeros_like, made["params"])
    np.testing.assert_array_equal(make.apply({**made, "params": still}, image, image), image)
    assert (jnp.abs(make.apply(made, image, image) - image) <= 1).all()
    assert judge.apply(variables(judge, image), image).shape == (1, 7, 11)
    with pytest.raises(ValueError, match="image size 10×21: the patches have 11 pixels a side"):
        judge.init(jax.random.key(0), image[:, :10])
