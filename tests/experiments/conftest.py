import pytest


@pytest.fixture(autouse=True, scope="module")
def small_classifier():
    """The GAN experiments' classifier learns for 60 steps instead of 1500."""
    from experiments import adversarial

    with pytest.MonkeyPatch.context() as patch:
        for name in ("train_classifier", "classifier_extractor"):
            train = getattr(adversarial, name)
            patch.setattr(adversarial, name, lambda data, fit, train=train: train(data, fit, steps=60))
        patch.setattr(adversarial, "SAMPLES", 1000)
        yield
