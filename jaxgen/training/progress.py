"""The progress of a run on the console: a bar in a terminal or a notebook, lines elsewhere."""

import time
from collections.abc import Mapping

from tqdm.auto import tqdm

__all__ = ["Progress"]

PATIENCE = 30.0
"""The number of seconds after which the next log line is printed in any case."""


class Progress:
    """Shows the progress of a run.

    The bar is on stderr, or in a notebook a widget. Where there is neither a terminal nor a notebook, as in a CI job,
    lines on stdout take its place: the first one, those that are due, and one when half a minute has passed.

    Args:
        steps: the number of steps of the run.
        step: the step at which it begins.
        shown: whether anything is shown.
    """

    def __init__(self, steps: int, step: int, shown: bool = True) -> None:
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=None if shown else True)
        self._lines = shown and self._bar.disable
        self._steps = steps
        self._next = 0.0  # the time of the next line

    def compiling(self) -> None:
        """Says on the bar that the next steps are being compiled."""
        self._bar.set_description("compiling")

    def advance(self, step: int, images_per_second: float, metrics: Mapping[str, float]) -> None:
        """Moves the bar to `step`, with the speed and the losses beside it."""
        brief = {name: f"{value:.3g}" for name, value in metrics.items() if "loss" in name or name == "elbo"}
        self._bar.set_description("training", refresh=False)
        self._bar.set_postfix({"images/s": f"{images_per_second:.0f}", **brief}, refresh=False)
        self._bar.update(step - self._bar.n)

    def line(self, step: int, values: Mapping[str, float], due: bool) -> None:
        """Prints the metrics and figures of `step` where there is no bar, if a line is due or it is time for one."""
        if self._lines and (due or time.monotonic() >= self._next):
            print(f"step {step}/{self._steps}", *(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
            self._next = time.monotonic() + PATIENCE

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
