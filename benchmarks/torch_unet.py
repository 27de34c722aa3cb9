"""Diffusion's U-Net in PyTorch: the structure of `jaxgen.networks.DiffusionUNet`."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["UNet"]


def normed(channels: int) -> nn.GroupNorm:
    """Returns a group norm with at least four channels in a group."""
    return nn.GroupNorm(math.gcd(32, channels // 4), channels, eps=1e-6)


class Block(nn.Module):
    """A residual block of two convolutions, the embedding of the timestep (b, e) between them."""

    def __init__(self, channels: int, features: int, embedding: int):
        super().__init__()
        self.first, self.second = normed(channels), normed(features)
        self.one, self.two = nn.Conv2d(channels, features, 3, 1, 1), nn.Conv2d(features, features, 3, 1, 1)
        self.time = nn.Linear(embedding, features)
        self.skip = nn.Conv2d(channels, features, 1) if channels != features else nn.Identity()

    def forward(self, x, embedding):
        """Returns `features` channels."""
        h = self.one(F.silu(self.first(x))) + self.time(F.silu(embedding))[:, :, None, None]
        return self.skip(x) + self.two(F.silu(self.second(h)))


class Attention(nn.Module):
    """Self-attention over all pixels, with one head and a residual connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm, self.qkv = normed(channels), nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x):
        """Returns images of the shape of x."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(*self.qkv(pixels).chunk(3, -1))
        return x + self.out(attended).transpose(1, 2).reshape(x.shape)


class UNet(nn.Module):
    """Images (b, 3, h, w) and timesteps (b,) to the noise in the images."""

    def __init__(self, width: int, multipliers: Sequence[int], blocks: int):
        super().__init__()
        self.width = width
        widths, last, embedding = [width * m for m in multipliers], width, 4 * width
        self.embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.stem, kept = nn.Conv2d(3, width, 3, 1, 1), [width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, features in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(last, last, 3, 2, 1))
                kept.append(last)
            for _ in range(blocks):
                self.down.append(Block(last, features, embedding))
                last = features
                kept.append(last)
        self.middle = nn.ModuleList([Block(last, last, embedding), Attention(last), Block(last, last, embedding)])
        for level, features in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Block(last + kept.pop(), features, embedding))
                last = features
            if level:
                self.up.append(nn.Conv2d(last, last, 3, 1, 1))
        self.norm, self.out = normed(last), nn.Conv2d(last, 3, 3, 1, 1)

    def forward(self, x, t):
        """Returns the noise, of the shape of x."""
        half = self.width // 2
        angles = t[:, None] * torch.exp(-math.log(1e4) / (half - 1) * torch.arange(half, device=x.device))
        embedding = self.embed(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.stem(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        first, attend, second = self.middle
        x = second(attend(first(x, embedding)), embedding)
        for layer in self.up:
            if isinstance(layer, Block):
                x = layer(torch.cat([x, skips.pop()], 1), embedding)
            else:
                x = layer(F.interpolate(x, scale_factor=2))
        return self.out(F.silu(self.norm(x)))
