"""Figures of merit of generative models."""

from jaxgen.metrics.classifier import accuracy, train_classifier

__all__ = ["accuracy", "train_classifier"]
