"""SinGAN's scale and the stage of progressive growing of `benchmarks.growing`, in PyTorch."""

import copy
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_training import DEVICE, adam, descend, freeze, gradient_penalty, steps_per_second

__all__ = ["measure"]

WIDTHS = (512, 256, 128, 64)
"""The numbers of channels of progressive growing at 4, 8, 16 and 32 pixels a side."""


def singan_player(features: int) -> nn.Module:
    """Returns five convolutions without padding, from an image to `features` channels."""
    layers, last = [], 3
    for _ in range(4):
        layers += [nn.Conv2d(last, 32, 3), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)]
        last = 32
    return nn.Sequential(*layers, nn.Conv2d(32, features, 3)).to(DEVICE)


def singan_step(real: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Returns a function that takes three steps of each player of a scale on the image (1, 3, h, w)."""
    body, critic = singan_player(3), singan_player(1)
    body_adam, critic_adam = (adam(player, rate=5e-4, b1=0.5) for player in (body, critic))
    fixed = torch.randn(1, 1, *real.shape[2:], device=DEVICE)
    before = torch.zeros_like(real)

    def generator(noise):
        return before + torch.tanh(body(F.pad(noise + before, (5, 5, 5, 5))))

    def step():
        total = torch.zeros((), device=DEVICE)
        freeze([critic], False)
        for _ in range(3):
            with torch.no_grad():
                fake = generator(torch.randn_like(real))
            loss = critic(fake).mean() - critic(real).mean() + 0.1 * gradient_penalty(critic, real, fake)
            total += descend(critic_adam, loss)
        freeze([critic], True)
        for _ in range(3):
            loss = -critic(generator(torch.randn_like(real))).mean()
            total += descend(body_adam, loss + 10 * F.mse_loss(generator(fixed), real))
        return total

    return step


class Equalised(nn.Module):
    """A dense layer or a convolution with an equalised learning rate (Karras et al. 2018, section 4.1)."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, gain: float = 2**0.5):
        super().__init__()
        self.layer, self.scale = layer, gain * layer.weight[0].numel() ** -0.5
        nn.init.normal_(layer.weight)

    def forward(self, x):
        """Returns what the layer makes of x with its weights scaled."""
        weight, layer = self.layer.weight * self.scale, self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        return F.conv2d(x, weight, layer.bias, padding=layer.padding)


class PixelNorm(nn.Module):
    """The normalisation of each pixel over its channels (section 4.2)."""

    def forward(self, x):
        """Returns x with a mean square of 1 in each pixel."""
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)


class Deviation(nn.Module):
    """The standard deviation over groups of four examples as a further channel (section 3)."""

    def forward(self, x):
        """Returns x with the further channel."""
        y = x.reshape(-1, 4, *x.shape[1:])
        deviation = torch.sqrt(y.var(1, unbiased=False) + 1e-8).mean((1, 2, 3))
        channel = deviation.repeat_interleave(4)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return torch.cat([x, channel], 1)


def convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Returns the layers of a convolution with its activation."""
    return [Equalised(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)), nn.LeakyReLU(0.2)]


def growing_generator() -> nn.Module:
    """Returns the generator, from latents (b, 512) to images (b, 3, 32, 32)."""
    layers = [PixelNorm(), Equalised(nn.Linear(512, 16 * 512), 2**0.5 / 4), nn.Unflatten(1, (512, 4, 4))]
    layers += [nn.LeakyReLU(0.2), PixelNorm(), *convolution(512, 512, 3), PixelNorm()]
    for a, b in pairwise(WIDTHS):
        layers += [nn.Upsample(scale_factor=2), *convolution(a, b, 3), PixelNorm(), *convolution(b, b, 3), PixelNorm()]
    return nn.Sequential(*layers, Equalised(nn.Conv2d(64, 3, 1), 1.0)).to(DEVICE)


def growing_critic() -> nn.Module:
    """Returns the critic, from images (b, 3, 32, 32) to values (b, 1)."""
    layers = convolution(3, 64, 1)
    for a, b in pairwise(WIDTHS[::-1]):
        layers += [*convolution(a, a, 3), *convolution(a, b, 3), nn.AvgPool2d(2)]
    layers += [Deviation(), *convolution(513, 512, 3), nn.Flatten(), Equalised(nn.Linear(16 * 512, 512))]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), Equalised(nn.Linear(512, 1), 1.0)).to(DEVICE)


def growing_step() -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a function that takes a step of both players, and of the generator's average, on images."""
    generator, critic = growing_generator(), growing_critic()
    generator_adam, critic_adam = (adam(player, rate=1e-3, b1=0.0, b2=0.99) for player in (generator, critic))
    average = copy.deepcopy(generator).requires_grad_(False)

    def step(real):
        freeze([critic], False)
        with torch.no_grad():
            fake = generator(torch.randn(len(real), 512, device=DEVICE))
        on_real = critic(real)
        loss = critic(fake).mean() - on_real.mean() + 1e-3 * (on_real**2).mean()
        total = descend(critic_adam, loss + 10 * gradient_penalty(critic, real, fake))
        freeze([critic], True)
        total += descend(generator_adam, -critic(generator(torch.randn(len(real), 512, device=DEVICE))).mean())
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 0.001)
        return total

    return step


def measure(images: np.ndarray, batch_size: int, steps: int) -> list[float]:
    """Returns the steps per second, read every `steps` steps: of SinGAN on a single image, else of growing."""
    torch.manual_seed(0)
    data = torch.from_numpy(images).to(DEVICE).permute(0, 3, 1, 2)
    if len(images) == 1:
        return steps_per_second(singan_step(data.float() / 127.5 - 1), steps)
    step = growing_step()

    def one():
        chosen = torch.randint(len(data), (batch_size,), device=DEVICE)
        return step(data[chosen].float() / 127.5 - 1)

    return steps_per_second(one, steps)
