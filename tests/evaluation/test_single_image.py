import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluation import single_image_evaluator


def test_copies_of_the_image_are_perfect_and_alike():
    image = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (1, 12, 12, 1)), jnp.float32)

    def sample(state, key, n):
        return jnp.tile(image, (n, 1, 1, 1)) + state * jax.random.normal(key, (n, *image.shape[1:]))

    evaluate = single_image_evaluator(sample, lambda state: image + state, image, samples=4)
    copies, others = evaluate(jnp.float32(0)), evaluate(jnp.float32(0.1))
    assert copies.figures == pytest.approx({"reconstruction_rmse": 0, "sifid_of_patches": 0, "diversity": 0}, abs=1e-6)
    assert others.figures["reconstruction_rmse"] == pytest.approx(0.05, rel=1e-4)
    assert others.figures["sifid_of_patches"] > 1e-3 and others.figures["diversity"] > 0.05
    assert others.counts == {"fake_samples": 4}
