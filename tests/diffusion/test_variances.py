import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import DiscreteProcess, variances


def test_learned_variances_lie_between_the_small_and_the_large():
    between = DiscreteProcess(timesteps=20).step_back(jnp.array([2, 7, 20]))
    small, large = (v.log_variance(between, None) for v in (variances.small, variances.large))
    np.testing.assert_allclose(jnp.exp(small), between.small, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(large), between.large, rtol=1e-5)
    for v, expected in [(0.0, small), (1.0, large), (0.25, 0.25 * large + 0.75 * small)]:
        np.testing.assert_allclose(variances.learned.log_variance(between, jnp.float32(v)), expected, rtol=1e-5)


@pytest.mark.parametrize("variance", [variances.small, variances.large, variances.learned], ids=str)
def test_scale_is_the_standard_deviation(variance):
    between, v = DiscreteProcess(timesteps=20).step_back(jnp.array([2, 7, 20])), jnp.float32(0.3)
    np.testing.assert_allclose(variance.scale(between, v) ** 2, jnp.exp(variance.log_variance(between, v)), rtol=1e-5)


def test_the_network_says_learned_variances_in_its_last_channels():
    output = jnp.arange(8.0).reshape(1, 2, 4)
    prediction, v = variances.learned.split(output)
    np.testing.assert_array_equal(prediction, output[..., :2])
    np.testing.assert_array_equal(v, (output[..., 2:] + 1) / 2)
    assert variances.learned.outputs == 2 and variances.small.outputs == variances.large.outputs == 1
    assert variances.large.split(output) == (output, None)
