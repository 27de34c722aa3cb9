"""The published networks from images to images, in PyTorch: those of Pix2Pix, CycleGAN, DiscoGAN and StarGAN."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["DiscoDiscriminator", "StarDiscriminator", "disco_generator", "patch_gan", "translator", "unet"]


class UNetBlock(nn.Module):
    """A level of Pix2Pix's U-Net: down by 2, what is inside, up again, and x beside the result."""

    def __init__(
        self,
        outer: int,
        inner: int,
        inside: nn.Module | None = None,
        dropout: bool = False,
        outermost: bool = False,
    ):
        super().__init__()
        down = [nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=False)]
        up = [nn.ReLU(), nn.ConvTranspose2d(inner * (2 if inside else 1), outer, 4, 2, 1, bias=outermost)]
        if not outermost:
            down = [nn.LeakyReLU(0.2), *down, *([nn.BatchNorm2d(inner)] if inside else [])]
            up += [nn.BatchNorm2d(outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.body = nn.Sequential(*down, *([inside] if inside else []), *up, *([nn.Tanh()] if outermost else []))
        self.outermost = outermost

    def forward(self, x):
        """Returns the result, with x beside it but at the outermost level."""
        return self.body(x) if self.outermost else torch.cat([x, self.body(x)], 1)


def unet() -> nn.Module:
    """Returns Pix2Pix's generator, for images of at least 256×256."""
    block = UNetBlock(512, 512)
    for _ in range(3):
        block = UNetBlock(512, 512, block, dropout=True)
    for outer, inner in ((256, 512), (128, 256), (64, 128)):
        block = UNetBlock(outer, inner, block)
    return UNetBlock(3, 64, block, outermost=True)


def patch_gan(channels: int, norm: Callable[[int], nn.Module], bias: bool) -> nn.Module:
    """Returns the discriminator of 70×70 patches of Pix2Pix and CycleGAN."""
    layers, last = [nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2)], 64
    for width, stride in ((128, 2), (256, 2), (512, 1)):
        layers += [nn.Conv2d(last, width, 4, stride, 1, bias=bias), norm(width), nn.LeakyReLU(0.2)]
        last = width
    return nn.Sequential(*layers, nn.Conv2d(last, 1, 4, 1, 1))


class Residual(nn.Module):
    """Layers with a residual connection."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        """Returns x plus what the layers make of it."""
        return x + self.body(x)


def translator(channels: int, blocks: int, *, reflect: bool, affine: bool) -> nn.Module:
    """Returns CycleGAN's generator (`reflect`: its padding reflects the image) or StarGAN's (`affine`: its
    normalisation has a scale and a shift)."""

    def norm(width):
        return nn.InstanceNorm2d(width, affine=affine)

    def conv(a, b, kernel):
        mode = "reflect" if reflect else "zeros"
        return nn.Conv2d(a, b, kernel, 1, kernel // 2, bias=reflect, padding_mode=mode)

    def residual():
        return Residual(conv(256, 256, 3), norm(256), nn.ReLU(), conv(256, 256, 3), norm(256))

    size, padding = (3, 1) if reflect else (4, 0)
    layers = [conv(channels, 64, 7), norm(64), nn.ReLU()]
    for a, b in ((64, 128), (128, 256)):
        layers += [nn.Conv2d(a, b, size, 2, 1, bias=reflect), norm(b), nn.ReLU()]
    layers += [residual() for _ in range(blocks)]
    for a, b in ((256, 128), (128, 64)):
        layers += [nn.ConvTranspose2d(a, b, size, 2, 1, padding, bias=reflect), norm(b), nn.ReLU()]
    return nn.Sequential(*layers, conv(64, 3, 7), nn.Tanh())


def disco_generator() -> nn.Module:
    """Returns DiscoGAN's generator."""
    layers, last = [], 3
    for i, width in enumerate((64, 128, 256, 512)):
        layers += [nn.Conv2d(last, width, 4, 2, 1, bias=False), *([nn.BatchNorm2d(width)] if i else [])]
        layers.append(nn.LeakyReLU(0.2))
        last = width
    for width in (256, 128, 64):
        layers += [nn.ConvTranspose2d(last, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        last = width
    return nn.Sequential(*layers, nn.ConvTranspose2d(last, 3, 4, 2, 1, bias=False), nn.Sigmoid())


class DiscoDiscriminator(nn.Module):
    """DiscoGAN's discriminator, for images of 64×64."""

    def __init__(self):
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)):
            self.convs.append(nn.Conv2d(a, b, 4, 2, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(b) if a > 3 else nn.Identity())
        self.last = nn.Conv2d(512, 1, 4, bias=False)

    def forward(self, x):
        """Returns the logits, and the features of the second layer and those above it."""
        features = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
            features.append(x)
        return self.last(x), features[1:]


class StarDiscriminator(nn.Module):
    """StarGAN's discriminator, for square images of `size` pixels a side."""

    def __init__(self, size: int, attributes: int):
        super().__init__()
        levels = size.bit_length() - 2
        widths = [3, *(64 * 2**i for i in range(levels))]
        layers = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.body, self.values = nn.Sequential(*layers), nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.logits = nn.Conv2d(widths[-1], attributes, size >> levels, bias=False)

    def forward(self, x):
        """Returns the critic's values of patches, and the logits of the attributes (b, k)."""
        x = self.body(x)
        return self.values(x), self.logits(x)[:, :, 0, 0]
