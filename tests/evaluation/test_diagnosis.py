"""Each verdict from records made by hand, whatever figures are absent."""

import math

import numpy as np
import pytest
from jaxgen.diagnose import VERDICTS, diagnose, missing_of

NAMES = tuple("abcdefgh")
EVEN = [0.12] * 8


def run(steps=30, every=3, shares=lambda t: EVEN, points=True, **changes):
    """Records of a healthy run; `changes` are values, or functions of the time from 0 to 1."""
    values = {
        "discriminator_loss": 1.3,
        "generator_loss": 0.7,
        "discriminator_real": 0.52,
        "discriminator_fake": 0.48,
        "discriminator_accuracy": 0.6,
        "discriminator_gradient_norm": 0.2,
        "generator_gradient_norm": 0.3,
        "diversity": 1.0,
    } | changes
    records = []
    for i in range(1, steps + 1):
        t = i / steps
        now = {name: value(t) if callable(value) else value for name, value in values.items()}
        diversity = now.pop("diversity")
        records.append({"step": 10 * i, **now})
        if i % every == 0:
            share = np.array(shares(t))
            figures = {f"share_{j}": x for j, x in enumerate(share.tolist())}
            found = {"modes_covered" if points else "classes_found": float((share > 0).sum())}
            quality = {"high_quality": float(share.sum()), "reverse_kl": math.inf} if points else {}
            records.append({"step": 10 * i, **figures, **found, **quality, "diversity": diversity})
    return records


SURE = {"discriminator_accuracy": 1.0, "discriminator_real": 1.0, "discriminator_fake": 0.0}
NOWHERE = {"shares": lambda t: [0.0] * 8}

RUNS = {
    "healthy": [
        run(),
        run(points=False),
        run(shares=lambda t: EVEN if t > 0.5 else [0.5] + [0] * 7),  # a start that looked like a failure
        run(shares=lambda t: [0.12] * max(1, round(8 * t)) + [0] * (8 - max(1, round(8 * t)))),  # more and more modes
        run(discriminator_accuracy=0.99, discriminator_real=8.0, discriminator_fake=2.0),  # a Wasserstein critic
        run(**SURE, shares=lambda t: [0.1 * t] * 8),  # a sure D from which G learns
        run(generator_gradient_norm=lambda t: 50 * 1e-3**t),  # a gradient that is small as there is little to learn
    ],
    "vanishing_gradient": [
        run(**SURE, **NOWHERE, generator_gradient_norm=1e-6),
        run(**SURE, **NOWHERE, generator_gradient_norm=lambda t: 10 * 1e-4**t),
        run(**SURE, **NOWHERE, generator_gradient_norm=1e-6, diversity=0.02),
        run(**SURE, points=False, generator_gradient_norm=1e-5),
    ],
    "overpowering_discriminator": [
        run(**SURE, **NOWHERE, generator_loss=12.0),
        run(**NOWHERE, discriminator_accuracy=0.995, discriminator_real=30.0, discriminator_fake=-20.0),
        run(**SURE, points=False),
    ],
    "total_mode_collapse": [
        run(shares=lambda t: [0.9] + [0] * 7),
        run(shares=lambda t: np.eye(8)[int(30 * t) % 8]),  # which hops
        run(**NOWHERE, diversity=0.03),
        run(points=False, shares=lambda t: [1.0] + [0] * 7, diversity=0.5),
    ],
    "partial_mode_collapse": [
        run(shares=lambda t: [0.15] * 6 + [0, 0]),
        run(points=False, shares=lambda t: [0.2] * 4 + [0.001] * 2 + [0.1] * 2),
        run(shares=lambda t: [0.1 + 0.1 * t] * 4 + [0] * 4),  # better samples of the same modes
    ],
    "oscillation": [
        run(shares=lambda t: [0.4, 0.4, 0, 0, 0.1, 0, 0, 0] if round(30 * t) % 2 else [0, 0, 0, 0.1, 0, 0, 0.4, 0.4]),
        run(discriminator_accuracy=lambda t: 0.5 + 0.4 * math.sin(20 * t)),
        run(**NOWHERE, discriminator_accuracy=0.5),  # neither knows where the other is
    ],
    "divergence": [
        run(discriminator_loss=lambda t: math.nan if t > 0.5 else 1.0),
        run(steps=4, generator_gradient_norm=math.inf),  # which is said at once
        run(discriminator_loss=lambda t: -(10 ** (6 * t)), generator_loss=lambda t: 10 ** (6 * t)),
        run(diversity=40.0),
    ],
    "undecided": [run(steps=5), [], [{"step": 10, "diversity": 0.01}]],
}


@pytest.mark.parametrize(("verdict", "records"), [(verdict, one) for verdict, runs in RUNS.items() for one in runs])
def test_verdict(verdict, records):
    found = diagnose(records, NAMES)
    assert found.verdict == verdict, found
    assert str(found).startswith(f"verdict   {verdict.replace('_', ' ')}")
    assert found.advice in str(found)


def test_every_verdict_is_tested():
    assert set(RUNS) == set(VERDICTS)


def test_missing_modes_are_named():
    records = run(shares=lambda t: [0.15] * 6 + [0.001, 0])
    assert diagnose(records, NAMES).missing == ("g", "h")
    assert diagnose(records).missing == ("mode 6", "mode 7")
    assert diagnose(run(points=False, shares=lambda t: [0] + [1 / 7] * 7)).missing == ("class 0",)
    assert missing_of(np.full(8, 1e-3)) == []  # nearly nothing is in any mode


@pytest.mark.parametrize("verdict", ["vanishing_gradient", "overpowering_discriminator", "oscillation", "divergence"])
def test_step_metrics_alone_are_enough(verdict):
    """Unlabelled images without an evaluator: no figures of samples."""
    records = [record for record in RUNS[verdict][{"oscillation": 1}.get(verdict, 0)] if "discriminator_loss" in record]
    assert diagnose(records).verdict == verdict


def test_samples_alone_are_enough():
    kept = ("step", "diversity")
    for diversity, verdict in [(0.05, "total_mode_collapse"), (0.3, "partial_mode_collapse"), (0.95, "healthy")]:
        records = run(diversity=diversity)
        records = [{name: r[name] for name in kept} for r in records if "diversity" in r]
        assert diagnose(records).verdict == verdict


def test_a_wasserstein_critic_that_is_sure_is_no_evidence_without_samples():
    records = run(discriminator_accuracy=1.0, discriminator_real=30.0, discriminator_fake=-10.0)
    assert diagnose([record for record in records if "discriminator_loss" in record]).verdict == "healthy"


def test_a_figure_computed_twice_counts_once():
    records = run(shares=lambda t: np.eye(8)[int(30 * t) % 4] * 0.5 + np.eye(8)[int(30 * t) % 4 + 4] * 0.4)
    assert diagnose([*records, records[-1], records[-1], records[-1]], NAMES) == diagnose(records, NAMES)


def test_many_modes_without_a_histogram():
    names = tuple(map(str, range(1000)))
    for covered, verdict in [(980, "healthy"), (300, "partial_mode_collapse")]:
        records = [r | ({"modes_covered": float(covered)} if "diversity" in r else {}) for r in run()]
        records = [{k: v for k, v in r.items() if "share" not in k and k != "high_quality"} for r in records]
        assert diagnose(records, names).verdict == verdict


def test_fid_that_falls_is_learning():
    for rate, verdict in [(3.0, "healthy"), (0.0, "overpowering_discriminator")]:
        records = run(points=False, **SURE)
        records = [r | ({"fid": 200 * math.exp(-rate * r["step"] / 300)} if "diversity" in r else {}) for r in records]
        assert diagnose(records, NAMES).verdict == verdict
