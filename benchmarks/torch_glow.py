"""Glow in PyTorch: the structure of `jaxgen.networks.Glow`, for images of 3 channels."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Glow"]


class Scaled(nn.Module):
    """A convolution with a bias and a scale; one of 3×3 also sees a channel that marks the padding."""

    def __init__(self, channels: int, features: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(channels + (kernel == 3), features, kernel, bias=False)
        self.bias = nn.Parameter(torch.zeros(features, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(features, 1, 1))
        self.edge = kernel == 3

    def forward(self, x):
        """Returns `features` channels at the size of x."""
        if self.edge:
            edge = F.pad(x.new_zeros(len(x), 1, *x.shape[2:]), (1, 1, 1, 1), value=1)
            x = torch.cat([F.pad(x, (1, 1, 1, 1)), edge], 1)
        return (self.conv(x) + self.bias) * torch.exp(3 * self.log_scale)


class Step(nn.Module):
    """A step of the flow: actnorm, an invertible 1×1 convolution, and an affine coupling."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.kernel = nn.Parameter(torch.linalg.qr(torch.randn(channels, channels))[0])
        self.first, self.second = Scaled(channels // 2, width, 3), Scaled(width, width, 1)
        self.third = Scaled(width, channels, 3)

    def coupling(self, x):
        """Returns the logarithm of the scale, and the shift, of the other half of the channels."""
        raw, shift = self.third(F.relu(self.second(F.relu(self.first(x))))).chunk(2, 1)
        return F.logsigmoid(raw + 2), shift

    def forward(self, x):
        """Returns y and the log-determinant (b,)."""
        x = F.conv2d((x + self.bias) * torch.exp(3 * self.log_scale), self.kernel[:, :, None, None])
        log_det = x[0, 0].numel() * (3 * self.log_scale.sum() + torch.linalg.slogdet(self.kernel)[1])
        stays, goes = x.chunk(2, 1)
        log_scale, shift = self.coupling(stays)
        goes = goes * log_scale.exp() + shift
        return torch.cat([stays, goes], 1), log_det + log_scale.sum((1, 2, 3))

    def inverse(self, y):
        """Returns the x that `forward` sends to y."""
        stays, goes = y.chunk(2, 1)
        log_scale, shift = self.coupling(stays)
        x = torch.cat([stays, (goes - shift) * torch.exp(-log_scale)], 1)
        x = F.conv2d(x, torch.linalg.inv(self.kernel)[:, :, None, None])
        return x * torch.exp(-3 * self.log_scale) - self.bias


class Glow(nn.Module):
    """A flow of `levels` levels with `steps` steps each, whose couplings have `width` channels; half of the channels
    leave it after each level but the last."""

    def __init__(self, side: int, levels: int, steps: int, width: int):
        super().__init__()
        self.smallest = side // 2**levels
        channels = [12 * 2**level for level in range(levels)]
        self.levels: Any = nn.ModuleList(nn.ModuleList(Step(c, width) for _ in range(steps)) for c in channels)
        self.priors = nn.ModuleList(Scaled(c // 2, c, 3) for c in channels[:-1])
        self.prior = Scaled(2 * channels[-1], 2 * channels[-1], 3)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the log-densities (b,) of images (b, 3, side, side), in nats."""
        total = x.new_zeros(len(x))
        for i, level in enumerate(self.levels):
            x = F.pixel_unshuffle(x, 2)
            for step in level:
                x, log_det = step(x)
                total = total + log_det
            if i == len(self.levels) - 1:
                z, prior = x, self.prior(x.new_zeros(1, 2 * x.shape[1], *x.shape[2:]))
            else:
                x, z = x.chunk(2, 1)
                prior = self.priors[i](x)
            mean, log_scale = prior.chunk(2, 1)
            normal = -0.5 * ((z - mean) * torch.exp(-log_scale)) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)
            total = total + normal.sum((1, 2, 3))
        return total

    def sample(self, n: int) -> torch.Tensor:
        """Returns n images (n, 3, side, side)."""
        x = None
        for i, level in reversed(list(enumerate(self.levels))):
            if x is None:
                zeros = self.prior.bias.new_zeros(1, 24 * 2**i, self.smallest, self.smallest)
                prior = self.prior(zeros)
            else:
                prior = self.priors[i](x)
            mean, log_scale = prior.chunk(2, 1)
            z = mean + log_scale.exp() * torch.randn(n, *mean.shape[1:], device=mean.device)
            x = z if x is None else torch.cat([x, z], 1)
            for step in reversed(level):
                x = step.inverse(x)
            x = F.pixel_shuffle(x, 2)
        assert x is not None
        return x
