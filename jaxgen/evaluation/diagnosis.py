"""Why a GAN fails: a verdict from what its metrics show.

found = diagnose(read_metrics(run), data.label_names)
print(found.verdict, found.missing)                      # partial_mode_collapse ("(2, 0)", "(0, -2)")
print(found)                                             # the verdict, its evidence, advice

A loss means another thing in each game, so the rules read what means the same in all: the share of pairs that D ranks
rightly, the size of G's gradient against what it was before, and the samples.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

__all__ = ["VERDICTS", "Diagnosis", "diagnose", "missing_of", "recent_shares"]

Record = Mapping[str, float | int]

VERDICTS: dict[str, tuple[str, str]] = {  # what it means, and what helps
    "undecided": ("too few records, or too little learned, to tell", "train on, or lower --log-every and --eval-every"),
    "healthy": ("no failure shows", ""),
    "divergence": (
        "losses or samples run away",
        "lower learning rates and b1; a constraint on D: gradient_penalty, clip_weights or spectral normalisation for "
        "loss wasserstein, the penalty r1 for the others",
    ),
    "vanishing_gradient": (
        "G's gradient is gone",
        "loss non_saturating, or wasserstein with gradient_penalty; fewer discriminator steps",
    ),
    "overpowering_discriminator": (
        "D is sure of every pair and the samples do not get better",
        "a lower rate or fewer steps of D; the penalties r1 or gradient_penalty, spectral normalisation, loss "
        "wasserstein",
    ),
    "total_mode_collapse": (
        "all samples are alike",
        "packing=2, the penalty r1, or loss wasserstein with gradient_penalty; a lower rate of G; unroll=5",
    ),
    "partial_mode_collapse": (
        "part of the data is never generated",
        "packing=2, the penalty r1, or loss wasserstein with gradient_penalty; unroll=5",
    ),
    "oscillation": (
        "the players chase each other and do not settle",
        "the penalties r1 or gradient_penalty, unroll=5, lower rates and b1, an averaged generator (ema)",
    ),
}

RECENT = 1 / 3  # share of the run that is judged: what passed before is no failure
FEWEST_STEPS, FEWEST_EVALUATIONS = 20, 3  # either is enough to judge; with fewer a start looks like a failure
SURE = 0.98  # share of the pairs that D ranks rightly: it errs on 1 in 50
CERTAIN = 0.95  # D(x) - D(G(z)), where no more than 1 can be gained
DEAD = 1e-3  # norm of G's gradient: at the start it is 0.01 to 10 in all games
FADED = 0.1  # share of its largest value: the slope of a loss that does not saturate grows as D gets surer
FAR = 1e3  # loss or D(x) - D(G(z)): no 1-Lipschitz D has over 222 between 64 × 64 × 3 images in [-1, 1]
SCATTERED = 5.0  # diversity: samples five times as far apart as the data
ALIKE = 0.1  # diversity: one mode of the ring or grid has under 0.02, one image under noise of a tenth has 0.1
UNVARIED = 0.5  # diversity: half of the data's, which counts where no labels say more
DOMINANT = 0.95  # share of one mode among the samples that are in any mode
MISSING = 0.1  # share of its fair share: a mode with less is missing
FAIR = 0.5  # share of its fair share: a mode with more does not go missing by chance
MOST = 0.9  # share of the modes, where they are too many for a histogram: some are missed by chance
ON_MODES = 0.1  # share of the samples that are in some mode: with fewer their histogram says nothing
GOOD = 0.5  # share of modes × share of good samples: a sure D does no harm that lets these through
POOR = 0.1  # the same product: below it nothing has been learned yet, whatever else shows
TURNOVER = 0.25  # total variation from one histogram to the next: chance alone makes 0.03 (8 modes, 2,500 samples)
LOSING = 0.05  # share of the modes that go from half a fair share to missing in an evaluation: one of eight in 2½
BLIND = 0.6  # share of the pairs ranked rightly: with less, and no sample in a mode, D has lost sight of G
HALF = 0.5  # share of the modes: by chance half of them are touched where G has the data's extent
SWING = 0.08  # standard deviation of D's accuracy, or of the diversity, about its trend: 0.04 at an equilibrium
RELAPSE = 0.5  # share of the best score: with less, what was learned is lost again
IMPROVEMENT = 0.05  # rise of the score, or fall of log FID, over the third of the run before: it is still learning


@dataclass(frozen=True)
class Diagnosis:
    """What fails, and by what it shows."""

    verdict: str
    """A key of `VERDICTS`."""
    evidence: Mapping[str, float | str]
    """The figures that were read, by name; those that a run lacks are absent."""
    missing: tuple[str, ...] = ()
    """The names of the modes or classes that are not generated."""
    advice: str = ""
    """The cures that this library has."""

    def __str__(self) -> str:
        shown = (f"{k.replace('_', ' ')} {v if isinstance(v, str) else f'{v:.3g}'}" for k, v in self.evidence.items())
        lines = {
            "verdict": f"{self.verdict.replace('_', ' ')}: {VERDICTS[self.verdict][0]}",
            "evidence": ", ".join(shown),
            "missing": ", ".join(self.missing),
            "advice": self.advice,
        }
        return "\n".join(f"{name:10}{line}" for name, line in lines.items() if line)


def diagnose(
    records: Sequence[Record], label_names: Sequence[str] = (), eigenvalues: Complex[np.ndarray, "n"] | None = None
) -> Diagnosis:
    """Returns the verdict on a run.

    A failure that hides others comes first: where samples ran away no mode can be missing.

    Args:
        records: the records of the run in order, as `jaxgen.training.read_metrics` gives them.
        label_names: the names of the modes or classes.
        eigenvalues: those of the game's Jacobian, from `game_eigenvalues`; they join the evidence.
    """
    steps = [record for record in records if "discriminator_loss" in record]
    evaluations = _evaluations(records)
    evidence = _evidence_of_steps(steps)
    evidence_of_samples, missing = _evidence_of_evaluations(evaluations, label_names)
    evidence |= evidence_of_samples

    def get(name: str) -> float:
        value = evidence.get(name)
        return value if isinstance(value, float) else math.nan  # which fulfils no comparison

    improving, arriving = get("improvement") > IMPROVEMENT, get("modes_gained") > IMPROVEMENT
    sure = get("discriminator_accuracy") >= SURE and not improving and not get("score") >= GOOD
    bad = get("score") < GOOD and not improving
    dead = get("generator_gradient") < DEAD
    faded = dead or get("generator_gradient_of_peak") < FADED
    gap = get("output_on_real") - get("output_on_fake")
    harmful = "score" in evidence or CERTAIN <= gap <= 2 - CERTAIN  # a critic's gap has no such scale
    on_modes = get("in_modes") >= ON_MODES
    lost = get("discriminator_accuracy") < BLIND and get("in_modes") < ON_MODES and get("modes_found") < HALF
    swinging = get("accuracy_swing") > SWING or get("diversity_swing") > SWING
    come_and_go = get("turnover") > TURNOVER or get("modes_lost") > LOSING
    restless = lost or swinging or come_and_go or get("score_of_best") < RELAPSE
    few = "in_modes" not in evidence and get("modes_found") < MOST
    unvaried = "modes_found" not in evidence and get("diversity") < UNVARIED

    if "not_finite" in evidence or get("loss") > FAR or gap > FAR or get("diversity") > SCATTERED:
        verdict = "divergence"
    elif len(steps) < FEWEST_STEPS and len(evaluations) < FEWEST_EVALUATIONS:
        verdict = "undecided"
    elif sure and faded:
        verdict = "vanishing_gradient"
    elif get("diversity") < ALIKE or (on_modes and get("largest_share") >= DOMINANT):
        verdict = "total_mode_collapse"
    elif bad and dead:
        verdict = "vanishing_gradient"
    elif sure and harmful:
        verdict = "overpowering_discriminator"
    elif restless and not improving:
        verdict = "oscillation"
    elif (missing or few or unvaried) and not arriving:
        verdict = "partial_mode_collapse"
    else:
        verdict = "undecided" if bad and get("score") < POOR else "healthy"
    if eigenvalues is not None:
        evidence["largest_real_part"] = float(np.real(eigenvalues).max())
        evidence["largest_imaginary_part"] = float(np.abs(np.imag(eigenvalues)).max())
    return Diagnosis(verdict, evidence, missing, VERDICTS[verdict][1])


def recent_shares(records: Sequence[Record]) -> Float[np.ndarray, "n k"]:
    """Returns the shares of the modes at each evaluation in the last third; an empty array where there are none."""
    shares = []
    for record in _recent(_evaluations(records)):
        names = itertools.takewhile(record.__contains__, map("share_{}".format, itertools.count()))
        shares.append([record[name] for name in names])
    return np.array(shares) if shares and len(set(map(len, shares))) == 1 else np.zeros((0, 0))


def missing_of(shares: Float[np.ndarray, "k"]) -> list[int]:
    """Returns the modes that have under a tenth of their fair share of the samples that are in any mode; none where
    those samples are too few to say."""
    total = shares.sum()
    return np.flatnonzero(shares < MISSING * total / len(shares)).tolist() if total >= ON_MODES else []


def _evaluations(records: Sequence[Record]) -> list[Record]:
    """One record for each step, the later: the figures of the last may have been computed twice."""
    figures = [r for r in records if "discriminator_loss" not in r and r.keys() - {"step", "kind"}]
    return list({r["step"]: r for r in figures}.values())


def _recent(values: Any) -> Any:
    return values[-max(3, math.ceil(RECENT * len(values))) :]


def _swing(values: Sequence[float] | np.ndarray) -> float:
    """The standard deviation about a straight line through the values."""
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = np.dot(time, values) / max(np.dot(time, time), 1)
    return float(np.std(np.asarray(values) - slope * time))


def _evidence_of_steps(steps: Sequence[Record]) -> dict[str, float | str]:
    """The evidence of the step metrics."""

    def series(name: str) -> Float[np.ndarray, "n"]:
        return np.array([record[name] for record in steps if math.isfinite(record.get(name, math.nan))])

    evidence: dict[str, float | str] = {}
    values = ((record["step"], name, value) for record in steps for name, value in record.items() if name != "kind")
    bad = ((step, name) for step, name, value in values if not math.isfinite(value))
    if first := min(bad, default=None):
        evidence["not_finite"] = f"{first[1]} at step {first[0]}"
    losses = [np.abs(_recent(series(f"{player}_loss"))) for player in ("discriminator", "generator")]
    if all(map(len, losses)):
        evidence["loss"] = float(max(map(np.median, losses)))
    if len(accuracy := _recent(series("discriminator_accuracy"))):
        evidence |= {"discriminator_accuracy": float(accuracy.mean()), "accuracy_swing": _swing(accuracy)}
    for side in ("real", "fake"):
        if len(output := _recent(series(f"discriminator_{side}"))):
            evidence[f"output_on_{side}"] = float(output.mean())
    if len(gradient := series("generator_gradient_norm")):
        now = float(np.median(_recent(gradient)))
        evidence |= {"generator_gradient": now, "generator_gradient_of_peak": now / max(float(gradient.max()), 1e-12)}
        if len(opposing := _recent(series("discriminator_gradient_norm"))):
            evidence["gradient_ratio"] = now / max(float(np.median(opposing)), 1e-12)
    return evidence


def _evidence_of_evaluations(
    evaluations: Sequence[Record], label_names: Sequence[str]
) -> tuple[dict[str, float | str], tuple[str, ...]]:
    """The evidence of the samples, and the names of the missing modes."""
    evidence: dict[str, float | str] = {}
    late = _recent(evaluations)
    for name in ("diversity", "high_quality", "fid"):
        if values := [record[name] for record in late if math.isfinite(record.get(name, math.nan))]:
            evidence[name] = float(np.median(values))
            if name == "diversity" and len(values) > 2:
                evidence["diversity_swing"] = _swing(values)
    shares = recent_shares(evaluations)
    k = shares.shape[1] or len(label_names)
    found = "modes_covered" if any("modes_covered" in record for record in late) else "classes_found"
    missing: tuple[str, ...] = ()
    if shares.size:
        total = shares.sum(axis=1)
        evidence["in_modes"] = float(np.median(total))
        evidence["largest_share"] = float(np.median(shares.max(axis=1) / np.maximum(total, 1e-12)))
        if len(shares) > 1:  # with the share that is in no mode
            whole = np.column_stack([shares, np.maximum(0, 1 - total)])
            evidence["turnover"] = float(np.abs(np.diff(whole, axis=0)).sum(axis=1).mean() / 2)
            of_fair = shares * k / np.maximum(total, 1e-12)[:, None] * (total >= ON_MODES)[:, None]
            lost = (of_fair[:-1] > FAIR) & (of_fair[1:] < MISSING) & (total[1:] >= ON_MODES)[:, None]
            evidence["modes_lost"] = float(lost.mean())
        what = "mode" if found == "modes_covered" else "class"
        lacking = missing_of(shares.mean(axis=0))
        missing = tuple(label_names[i] if i < len(label_names) else f"{what} {i}" for i in lacking)

    third = math.ceil(len(evaluations) * RECENT)

    def rise(values: Sequence[float]) -> float:
        """How far the mean over the last third of the run is above that over the third before."""
        return float(np.mean(values[-third:]) - np.mean(values[-2 * third : -third]))

    covered = [record[found] / k for record in evaluations if found in record] if k else []
    quality = [share * r["high_quality"] for share, r in zip(covered, evaluations, strict=False) if "high_quality" in r]
    closeness = [-math.log(max(record["fid"], 1e-12)) for record in evaluations if "fid" in record]
    if covered:
        evidence["modes_found"] = float(np.median(_recent(covered)))
    if quality:
        means = [float(np.mean(quality[max(0, i - third) : i])) for i in range(third, len(quality) + 1)]
        evidence["score"] = means[-1]
        if max(means) >= POOR:
            evidence["score_of_best"] = means[-1] / max(means)
    if len(covered) > third:
        evidence["modes_gained"] = rise(covered)
    if len(progress := quality or closeness) > third:
        evidence["improvement"] = rise(progress)
    return evidence, missing
