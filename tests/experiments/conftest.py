import pytest


@pytest.fixture(autouse=True, scope="module")
def small_classifier():
    """The classifier that reads samples learns for 60 steps instead of 1500, and 1,000 samples make the figures."""
    from jaxgen.evaluation import classifier, samples

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 60)
        patch.setattr(samples, "SAMPLES", 1000)
        yield
