"""The conditional GAN, the VAE and DCGAN of `benchmarks.pytorch`, in PyTorch."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_training import DEVICE, adam, descend, steps_per_second

__all__ = ["measure"]


class ConditionalGenerator(nn.Module):
    """The generator of the conditional GAN: latents (b, 100) and one-hot labels (b, 10) to pixels (b, 784)."""

    def __init__(self):
        super().__init__()
        self.latent, self.label = nn.Linear(100, 128), nn.Linear(10, 128)
        self.hidden, self.out = nn.Linear(256, 512), nn.Linear(512, 784)

    def forward(self, z, code):
        """Returns the pixels, in [0, 1]."""
        x = F.relu(torch.cat([self.latent(z), self.label(code)], 1))
        return torch.sigmoid(self.out(F.relu(self.hidden(x))))


class ConditionalDiscriminator(nn.Module):
    """The discriminator of the conditional GAN: pixels (b, 784) and one-hot labels (b, 10) to logits (b,)."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.label = nn.Linear(784, 512), nn.Linear(512, 128), nn.Linear(10, 128)
        self.joint, self.out = nn.Linear(256, 32), nn.Linear(32, 1)

    def forward(self, x, code):
        """Returns the logits."""
        x = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
        x = torch.cat([x, F.leaky_relu(self.label(code), 0.2)], 1)
        return self.out(F.leaky_relu(self.joint(x), 0.2))[:, 0]


class Encoder(nn.Module):
    """The encoder of the VAE: pixels (b, 784) to the posterior of latents (b, 20)."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(784, 500), nn.Linear(500, 40)

    def forward(self, x):
        """Returns the means and the log-variances."""
        return self.out(F.relu(self.hidden(x))).chunk(2, 1)


def dcgan() -> tuple[nn.Module, nn.Module]:
    """Returns DCGAN's generator, latents (b, 100) to images (b, 1, 28, 28) by way of 7 and 14 pixels a side, and its
    discriminator."""
    generator = nn.Sequential(
        nn.Linear(100, 7 * 7 * 128, bias=False),
        nn.Unflatten(1, (128, 7, 7)),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 128, 1, bias=False),
        nn.Flatten(0),
    )
    return generator, discriminator


def gan_step(generator: nn.Module, discriminator: nn.Module) -> Callable:
    """Returns a function that takes a step of both players, with the non-saturating loss, on images and a tuple of what
    the players are conditioned on."""
    generator, discriminator = generator.to(DEVICE), discriminator.to(DEVICE)
    generator_adam, discriminator_adam = (adam(player, rate=2e-4, b1=0.5) for player in (generator, discriminator))

    def step(x, condition):
        with torch.no_grad():
            fake = generator(torch.randn(len(x), 100, device=DEVICE), *condition)
        real_logits, fake_logits = discriminator(x, *condition), discriminator(fake, *condition)
        total = descend(discriminator_adam, F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
        fake = generator(torch.randn(len(x), 100, device=DEVICE), *condition)
        return total + descend(generator_adam, F.softplus(-discriminator(fake, *condition)).mean())

    return step


def vae_step() -> Callable:
    """Returns a function that takes a step of the VAE on the negative ELBO of pixels; it has no use for labels."""
    encoder = Encoder().to(DEVICE)
    decoder = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784)).to(DEVICE)
    optimiser = adam(encoder, decoder, rate=1e-3, b1=0.9)

    def step(x, _):
        mean, log_variance = encoder(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
        loss = (F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum") + kl) / len(x)
        return descend(optimiser, loss)

    return step


def measure(system: str, arrays: Mapping[str, np.ndarray], batch_size: int, steps: int) -> list[float]:
    """Returns the steps per second of the system, read every `steps` steps, on the `image` and `label` of `arrays`."""
    torch.manual_seed(0)
    if system == "cGAN, MLP":
        step = gan_step(ConditionalGenerator(), ConditionalDiscriminator())
    elif system == "VAE, MLP":
        step = vae_step()
    else:
        step = gan_step(*dcgan())
    data = {name: torch.from_numpy(array).to(DEVICE) for name, array in arrays.items()}

    def one():
        chosen = torch.randint(len(data["image"]), (batch_size,), device=DEVICE)
        x = data["image"][chosen].float() / 255
        if system == "DCGAN":
            return step((2 * x - 1).permute(0, 3, 1, 2), ())
        return step(x.flatten(1), (F.one_hot(data["label"][chosen].long(), 10).float(),))

    return steps_per_second(one, steps)
