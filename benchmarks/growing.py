"""Step rate of a SinGAN scale and of a stage of progressive growing against PyTorch's, eager:
python -m benchmarks.growing

As `benchmarks.pytorch`. Both critics have a gradient penalty, so both libraries differentiate twice.
"""

import copy
import time
from itertools import pairwise

import numpy as np

from benchmarks.pytorch import READINGS, compare, steps_per_second

SYSTEMS = {  # batch size, height and width of the images, steps between two readings of the clock, devices of the mesh
    "SinGAN, a scale": (1, (96, 128), 5, 1),  # 32 channels; three steps of each player
    "growing, a stage": (16, (32, 32), 3, 1),  # 64 channels at full size, grown
}
EXAMPLES = 200


def images(system: str) -> np.ndarray:
    """No operation's speed depends on the pixels."""
    batch_size, size, *_ = SYSTEMS[system]
    count = EXAMPLES if batch_size > 1 else 1
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def measure_jaxgen(system: str) -> list[float]:
    """Steps per second as `fit` logs them."""
    import os

    import jax
    import optax

    from jaxgen import losses, networks
    from jaxgen.data import Dataset
    from jaxgen.models import GAN, SinGAN

    batch_size, size, steps, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    shape = (*size, 3)
    if batch_size == 1:
        adam = optax.adam(5e-4, b1=0.5)
        players = networks.SinGANGenerator(), networks.SinGANDiscriminator()
        model = SinGAN(*players, adam, adam, shape, smallest=min(size), steps=(READINGS + 1) * steps)
    else:
        adam = optax.adam(1e-3, 0.0, 0.99)
        players = networks.ProgressiveGenerator(shape, 64), networks.ProgressiveDiscriminator(size[0], 64)
        penalties = (losses.Penalty(losses.gradient_penalty),)
        model = GAN(*players, adam, adam, losses.wasserstein_drift, latent=512, ema=0.999, penalties=penalties)
    return steps_per_second(model, Dataset({"image": images(system)}), batch_size, steps, devices)


def measure_pytorch(system: str) -> list[float]:
    """The usual eager loop, with fused Adam; losses stay on the device until the clock is read."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def descend(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    def penalty(judge, real, fake, axes):
        weight = torch.rand(len(real), 1, 1, 1, device=device)
        between = (weight * real + (1 - weight) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
        return ((torch.linalg.vector_norm(slope, dim=axes) - 1) ** 2).mean()

    def blocks(features):
        layers, last = [], 3
        for _ in range(4):
            layers += [nn.Conv2d(last, 32, 3), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)]
            last = 32
        return nn.Sequential(*layers, nn.Conv2d(32, features, 3)).to(device)

    def singan(real):
        body, judge = blocks(3), blocks(1)
        adams = [torch.optim.Adam(x.parameters(), 5e-4, (0.5, 0.999), fused=True) for x in (body, judge)]
        fixed = torch.randn(1, 1, *real.shape[2:], device=device)
        before = torch.zeros_like(real)

        def generator(noise):
            return before + torch.tanh(body(F.pad(noise + before, (5, 5, 5, 5))))

        def step():
            total = 0.0
            judge.requires_grad_(True)
            for _ in range(3):
                with torch.no_grad():
                    fake = generator(torch.randn_like(real))
                loss = judge(fake).mean() - judge(real).mean() + 0.1 * penalty(judge, real, fake, (1, 2, 3))
                total += descend(adams[1], loss)
            judge.requires_grad_(False)
            for _ in range(3):
                loss = -judge(generator(torch.randn_like(real))).mean()
                total += descend(adams[0], loss + 10 * F.mse_loss(generator(fixed), real))
            return total

        return step

    class Equalised(nn.Module):
        def __init__(self, layer, gain=2**0.5):
            super().__init__()
            self.layer, self.scale = layer, gain * layer.weight[0].numel() ** -0.5
            nn.init.normal_(layer.weight)

        def forward(self, x):
            weight, layer = self.layer.weight * self.scale, self.layer
            if isinstance(layer, nn.Linear):
                return F.linear(x, weight, layer.bias)
            return F.conv2d(x, weight, layer.bias, padding=layer.padding)

    class PixelNorm(nn.Module):
        def forward(self, x):
            return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)

    class Deviation(nn.Module):
        def forward(self, x):
            y = x.reshape(-1, 4, *x.shape[1:])
            deviation = torch.sqrt(y.var(1, unbiased=False) + 1e-8).mean((1, 2, 3))
            channel = deviation.repeat_interleave(4)[:, None, None, None].expand(-1, 1, *x.shape[2:])
            return torch.cat([x, channel], 1)

    def conv(a, b, kernel):
        return [Equalised(nn.Conv2d(a, b, kernel, padding=kernel // 2)), nn.LeakyReLU(0.2)]

    def growing():
        widths = (512, 256, 128, 64)  # at 4, 8, 16, 32
        layers = [PixelNorm(), Equalised(nn.Linear(512, 16 * 512), 2**0.5 / 4), nn.Unflatten(1, (512, 4, 4))]
        layers += [nn.LeakyReLU(0.2), PixelNorm(), *conv(512, 512, 3), PixelNorm()]
        for a, b in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), *conv(a, b, 3), PixelNorm(), *conv(b, b, 3), PixelNorm()]
        generator = nn.Sequential(*layers, Equalised(nn.Conv2d(64, 3, 1), 1.0)).to(device)
        layers = conv(3, 64, 1)
        for a, b in pairwise(widths[::-1]):
            layers += [*conv(a, a, 3), *conv(a, b, 3), nn.AvgPool2d(2)]
        layers += [Deviation(), *conv(513, 512, 3), nn.Flatten(), Equalised(nn.Linear(16 * 512, 512))]
        judge = nn.Sequential(*layers, nn.LeakyReLU(0.2), Equalised(nn.Linear(512, 1), 1.0)).to(device)
        adams = [torch.optim.Adam(x.parameters(), 1e-3, (0.0, 0.99), fused=True) for x in (generator, judge)]
        average = copy.deepcopy(generator).requires_grad_(False)

        def step(real):
            judge.requires_grad_(True)
            with torch.no_grad():
                fake = generator(torch.randn(len(real), 512, device=device))
            on_real = judge(real)
            loss = judge(fake).mean() - on_real.mean() + 1e-3 * (on_real**2).mean()
            total = descend(adams[1], loss + 10 * penalty(judge, real, fake, (1, 2, 3)))
            judge.requires_grad_(False)
            total += descend(adams[0], -judge(generator(torch.randn(len(real), 512, device=device))).mean())
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 0.001)
            return total

        return step

    batch_size, _, steps, _ = SYSTEMS[system]
    data = torch.from_numpy(images(system)).to(device).permute(0, 3, 1, 2)
    step = singan(data.float() / 127.5 - 1) if batch_size == 1 else growing()
    rates = []
    for _ in range(READINGS + 1):
        start = time.perf_counter()
        for _ in range(steps):
            if batch_size == 1:
                loss = step()
            else:
                chosen = torch.randint(EXAMPLES, (batch_size,), device=device)
                loss = step(data[chosen].float() / 127.5 - 1)
        assert np.isfinite(loss.item())
        rates.append(steps / (time.perf_counter() - start))
    return rates[1:]


if __name__ == "__main__":
    compare("benchmarks.growing", __doc__, SYSTEMS, {"pytorch": measure_pytorch, "jaxgen": measure_jaxgen})
