import numpy as np
import pytest

from jaxgen.diffusion.schedules import LARGEST_BETA, Cosine, Linear, Rectified, Sigmoid

SCHEDULES = [Linear(), Cosine(), Sigmoid(), Rectified()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_schedules_go_from_data_to_noise(schedule):
    alpha, sigma = schedule(100)
    assert alpha[0] == 1 and sigma[0] == 0 and 0 < alpha[-1] < 0.02 and sigma[-1] > 0.98
    assert (np.diff(np.log(alpha / np.maximum(sigma, 1e-9))) < 0).all()
    if isinstance(schedule, Rectified):
        np.testing.assert_allclose(alpha + sigma, 1)
    else:
        np.testing.assert_allclose(alpha**2 + sigma**2, 1)


def test_linear_schedule_is_linear_in_beta():
    for schedule, expected in [
        (Linear(), np.linspace(1e-4, 0.02, 1000)),
        (Linear(1e-3, 0.01), np.linspace(1e-3, 0.01, 1000)),
    ]:
        alpha, _ = schedule(1000)
        np.testing.assert_allclose(1 - np.square(alpha[1:] / alpha[:-1]), expected, rtol=1e-9)
    np.testing.assert_allclose(np.log(Linear()(1000)[0][-1]), np.log(Linear()(4000)[0][-1]), rtol=0.01)


def test_cosine_and_sigmoid_schedules_are_as_published():
    u = np.arange(1001) / 1000
    cosine = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(np.square(Cosine()(1000)[0][:-1]), (cosine / cosine[0])[:-1], rtol=1e-6)
    beta = 1 - np.square(Cosine()(1000)[0][1:] / Cosine()(1000)[0][:-1])
    assert beta[-1] == pytest.approx(LARGEST_BETA) and beta.max() == beta[-1]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for start, end, tau in [(-3.0, 3.0, 1.0), (0.0, 3.0, 0.7)]:
        value = (u * (end - start) + start) / tau
        gamma = (sigmoid(end / tau) - sigmoid(value)) / (sigmoid(end / tau) - sigmoid(start / tau))
        found = np.square(Sigmoid(start, end, tau)(1000)[0])
        np.testing.assert_allclose(found[:-1], gamma[:-1], rtol=1e-6)
