"""The picture of a diagnosis."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Complex

from jaxgen.evaluation.diagnosis import Diagnosis, missing_of, recent_shares
from jaxgen.report import plot_diagnosis

__all__ = ["draw_diagnosis"]


def draw_diagnosis(
    path: Path,
    records: Sequence[Mapping[str, float | int]],
    diagnosis: Diagnosis,
    eigenvalues: Complex[np.ndarray, "n"] | None = None,
) -> None:
    """Draws what a diagnosis was read from: losses, outputs and gradients, the latest shares of the modes with the
    missing ones marked, and the eigenvalues of the game where they are given."""
    recent = recent_shares(records)
    shares = recent.mean(axis=0) if recent.size else None
    missing = () if shares is None else missing_of(shares)
    plot_diagnosis(path, records, diagnosis.verdict, shares, missing, eigenvalues)
