"""What the systems in PyTorch share: the eager loop with fused Adam, and a gradient penalty.

PyTorch is no dependency of jaxgen: the benchmarks import this file and the other `torch_*.py` only where they measure.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from benchmarks.comparison import READINGS

__all__ = ["DEVICE", "adam", "descend", "freeze", "gradient_penalty", "steps_per_second"]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def adam(*networks: nn.Module, rate: float, b1: float, b2: float = 0.999) -> torch.optim.Adam:
    """Returns one fused Adam for the parameters of all `networks`."""
    return torch.optim.Adam(nn.ModuleList(networks).parameters(), rate, (b1, b2), fused=True)


def descend(optimiser: torch.optim.Adam, loss: torch.Tensor) -> torch.Tensor:
    """Takes a step of the optimiser on the loss and returns the loss, which stays on the device."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def freeze(networks: Iterable[nn.Module], frozen: bool) -> None:
    """Says whether the gradient of a loss leaves out the parameters of `networks`."""
    for network in networks:
        network.requires_grad_(not frozen)


def gradient_penalty(critic: Callable, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Returns the mean of (|slope of the critic| - 1)² between real and fake images (Gulrajani et al. 2017)."""
    weight = torch.rand(len(real), 1, 1, 1, device=DEVICE)
    between = (weight * real + (1 - weight) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((torch.linalg.vector_norm(slope, dim=(1, 2, 3)) - 1) ** 2).mean()


def steps_per_second(step: Callable[[], torch.Tensor], steps: int) -> list[float]:
    """Returns the steps per second at `READINGS` readings of the clock, with `steps` steps between two of them.

    A step returns a number, such as its loss, which stays on the device until the clock is read.
    """
    rates = []
    for _ in range(READINGS + 1):
        start, total = time.perf_counter(), torch.zeros((), device=DEVICE)
        for _ in range(steps):
            total += step()
        assert np.isfinite(total.item())
        rates.append(steps / (time.perf_counter() - start))
    return rates[1:]
