"""Training and sampling of diffusion's U-Net and of Glow against PyTorch's, eager: python -m benchmarks.likelihoods

As `benchmarks.pytorch`, with small networks of the published structure on 32×32×3 images. A step of sampling is a batch
of samples: by the U-Net 20 steps of DDIM.
"""

import math
import time

import numpy as np

from benchmarks.pytorch import READINGS, compare, steps_per_second

SYSTEMS = {  # batch size, steps between two readings of the clock
    "U-Net, training": (32, 4),
    "U-Net, sampling": (32, 1),
    "Glow, training": (32, 4),
    "Glow, sampling": (32, 1),
}
EXAMPLES = 1000
SIDE, WIDTH, MULTIPLIERS, BLOCKS = 32, 64, (1, 2, 2), 1  # of the U-Net
LEVELS, STEPS, GLOW_WIDTH = 2, 8, 128
SAMPLING_STEPS = 20


def images() -> np.ndarray:
    """No operation's speed depends on the pixels."""
    return np.random.default_rng(0).integers(0, 256, (EXAMPLES, SIDE, SIDE, 3)).astype(np.uint8)


def measure_jaxgen(system: str) -> list[float]:
    """Steps per second as `fit` logs them, or of a compiled `sample`."""
    import os
    from functools import partial

    import jax
    import optax

    from jaxgen.data import Dataset
    from jaxgen.diffusion import DDIM
    from jaxgen.models import Diffusion, NormalizingFlow
    from jaxgen.networks import DiffusionUNet, Glow
    from jaxgen.training import data_mesh

    batch_size, steps = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    shape, adam = (SIDE, SIDE, 3), optax.adam(1e-3)
    if system.startswith("U-Net"):
        network = DiffusionUNet(WIDTH, MULTIPLIERS, BLOCKS, (), 0.0)
        model = Diffusion(shape, network, adam)
        sampled = partial(model.sample, sampler=DDIM(SAMPLING_STEPS))
    else:
        model = NormalizingFlow(Glow(shape, LEVELS, STEPS, GLOW_WIDTH), adam)
        sampled = model.sample
    data = Dataset({"image": images()})
    if system.endswith("training"):
        return steps_per_second(model, data, batch_size, steps, None)
    state = jax.jit(lambda key: model.init(key, data.spec(batch_size)))(jax.random.key(0))
    sample, rates = jax.jit(sampled, static_argnums=2), []
    with jax.set_mesh(data_mesh()):
        for key in jax.random.split(jax.random.key(1), READINGS + 1):
            start = time.perf_counter()
            jax.block_until_ready(sample(state, key, batch_size))
            rates.append(1 / (time.perf_counter() - start))
    return rates[1:]


def measure_pytorch(system: str) -> list[float]:
    """The usual eager loop, with fused Adam; losses stay on the device until the clock is read."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def normed(channels):
        return nn.GroupNorm(math.gcd(32, channels // 4), channels, eps=1e-6)

    class Block(nn.Module):
        def __init__(self, channels, features):
            super().__init__()
            self.first, self.second = normed(channels), normed(features)
            self.one, self.two = nn.Conv2d(channels, features, 3, 1, 1), nn.Conv2d(features, features, 3, 1, 1)
            self.time = nn.Linear(4 * WIDTH, features)
            self.skip = nn.Conv2d(channels, features, 1) if channels != features else nn.Identity()

        def forward(self, x, embedding):
            h = self.one(F.silu(self.first(x))) + self.time(F.silu(embedding))[:, :, None, None]
            return self.skip(x) + self.two(F.silu(self.second(h)))

    class Attention(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm, self.qkv = normed(channels), nn.Linear(channels, 3 * channels)
            self.out = nn.Linear(channels, channels)

        def forward(self, x):
            pixels = self.norm(x).flatten(2).transpose(1, 2)
            attended = F.scaled_dot_product_attention(*self.qkv(pixels).chunk(3, -1))
            return x + self.out(attended).transpose(1, 2).reshape(x.shape)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths, last = [WIDTH * m for m in MULTIPLIERS], WIDTH
            self.embed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, 4 * WIDTH))
            self.stem, kept = nn.Conv2d(3, WIDTH, 3, 1, 1), [WIDTH]
            self.down, self.up = nn.ModuleList(), nn.ModuleList()
            for level, features in enumerate(widths):
                if level:
                    self.down.append(nn.Conv2d(last, last, 3, 2, 1))
                    kept.append(last)
                for _ in range(BLOCKS):
                    self.down.append(Block(last, features))
                    last = features
                    kept.append(last)
            self.middle = nn.ModuleList([Block(last, last), Attention(last), Block(last, last)])
            for level, features in reversed(list(enumerate(widths))):
                for _ in range(BLOCKS + 1):
                    self.up.append(Block(last + kept.pop(), features))
                    last = features
                if level:
                    self.up.append(nn.Conv2d(last, last, 3, 1, 1))
            self.norm, self.out = normed(last), nn.Conv2d(last, 3, 3, 1, 1)

        def forward(self, x, t):
            angles = t[:, None] * torch.exp(-math.log(1e4) / (WIDTH // 2 - 1) * torch.arange(WIDTH // 2, device=device))
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

    class Scaled(nn.Module):
        """A convolution, with the edge channel where it is 3×3, a bias and a scale."""

        def __init__(self, channels, features, kernel):
            super().__init__()
            self.conv = nn.Conv2d(channels + (kernel == 3), features, kernel, bias=False)
            self.bias = nn.Parameter(torch.zeros(features, 1, 1))
            self.log_scale = nn.Parameter(torch.zeros(features, 1, 1))
            self.edge = kernel == 3

        def forward(self, x):
            if self.edge:
                edge = F.pad(x.new_zeros(len(x), 1, *x.shape[2:]), (1, 1, 1, 1), value=1)
                x = torch.cat([F.pad(x, (1, 1, 1, 1)), edge], 1)
            return (self.conv(x) + self.bias) * torch.exp(3 * self.log_scale)

    class Step(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
            self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
            self.kernel = nn.Parameter(torch.linalg.qr(torch.randn(channels, channels))[0])
            half = channels // 2
            self.first, self.second = Scaled(half, GLOW_WIDTH, 3), Scaled(GLOW_WIDTH, GLOW_WIDTH, 1)
            self.third = Scaled(GLOW_WIDTH, channels, 3)

        def coupling(self, x):
            raw, shift = self.third(F.relu(self.second(F.relu(self.first(x))))).chunk(2, 1)
            return F.logsigmoid(raw + 2), shift

        def forward(self, x):
            x = F.conv2d((x + self.bias) * torch.exp(3 * self.log_scale), self.kernel[:, :, None, None])
            log_det = x[0, 0].numel() * (3 * self.log_scale.sum() + torch.linalg.slogdet(self.kernel)[1])
            stays, goes = x.chunk(2, 1)
            log_scale, shift = self.coupling(stays)
            goes = goes * log_scale.exp() + shift
            return torch.cat([stays, goes], 1), log_det + log_scale.sum((1, 2, 3))

        def inverse(self, y):
            stays, goes = y.chunk(2, 1)
            log_scale, shift = self.coupling(stays)
            x = torch.cat([stays, (goes - shift) * torch.exp(-log_scale)], 1)
            x = F.conv2d(x, torch.linalg.inv(self.kernel)[:, :, None, None])
            return x * torch.exp(-3 * self.log_scale) - self.bias

    class Glow(nn.Module):
        def __init__(self):
            super().__init__()
            channels = [12 * 2**level for level in range(LEVELS)]
            self.levels = nn.ModuleList(nn.ModuleList(Step(c) for _ in range(STEPS)) for c in channels)
            self.priors = nn.ModuleList(Scaled(c // 2, c, 3) for c in channels[:-1])
            self.prior = Scaled(2 * channels[-1], 2 * channels[-1], 3)

        def log_prob(self, x):
            total = 0
            for i, level in enumerate(self.levels):
                x = F.pixel_unshuffle(x, 2)
                for step in level:
                    x, log_det = step(x)
                    total = total + log_det
                if i == LEVELS - 1:
                    z, prior = x, self.prior(x.new_zeros(1, 2 * x.shape[1], *x.shape[2:]))
                else:
                    x, z = x.chunk(2, 1)
                    prior = self.priors[i](x)
                mean, log_scale = prior.chunk(2, 1)
                normal = -0.5 * ((z - mean) * torch.exp(-log_scale)) ** 2 - log_scale - 0.5 * math.log(2 * math.pi)
                total = total + normal.sum((1, 2, 3))
            return total

        def sample(self, n):
            side, x = SIDE // 2**LEVELS, None
            for i in reversed(range(LEVELS)):
                if x is None:
                    prior = self.prior(torch.zeros(1, 24 * 2**i, side, side, device=device))
                else:
                    prior = self.priors[i](x)
                mean, log_scale = prior.chunk(2, 1)
                z = mean + log_scale.exp() * torch.randn(n, *mean.shape[1:], device=device)
                x = z if x is None else torch.cat([x, z], 1)
                for step in reversed(self.levels[i]):
                    x = step.inverse(x)
                x = F.pixel_shuffle(x, 2)
            return x

    beta = torch.linspace(1e-4, 0.02, 1000, device=device)
    alpha_bar = torch.cumprod(1 - beta, 0)
    network = (UNet() if system.startswith("U-Net") else Glow()).to(device)
    adam = torch.optim.Adam(network.parameters(), 1e-3, fused=True)

    def train(image):
        if isinstance(network, UNet):
            t, noise = torch.randint(1000, (len(image),), device=device), torch.randn_like(image)
            kept = alpha_bar[t][:, None, None, None]
            predicted = network(kept.sqrt() * image + (1 - kept).sqrt() * noise, t.float())
            loss = ((predicted - noise) ** 2).mean()
        else:
            loss = -network.log_prob(image + torch.rand_like(image) / 128).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    @torch.no_grad()
    def sample(n):
        if isinstance(network, Glow):
            return network.sample(n)
        x = torch.randn(n, 3, SIDE, SIDE, device=device)
        times = torch.linspace(999, 0, SAMPLING_STEPS).round().long().tolist()
        for t, s in zip(times, [*times[1:], None], strict=True):
            kept, after = alpha_bar[t], torch.ones_like(alpha_bar[0]) if s is None else alpha_bar[s]
            noise = network(x, torch.full((n,), float(t), device=device))
            image = ((x - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
            noise = (x - kept.sqrt() * image) / (1 - kept).sqrt()
            x = after.sqrt() * image + (1 - after).sqrt() * noise
        return x

    batch_size, steps = SYSTEMS[system]
    data, rates = torch.from_numpy(images()).to(device).permute(0, 3, 1, 2), []
    for _ in range(READINGS + 1):
        start = time.perf_counter()
        for _ in range(steps):
            if system.endswith("sampling"):
                made = sample(batch_size).mean()
            else:
                chosen = torch.randint(EXAMPLES, (batch_size,), device=device)
                made = train(data[chosen].float() / 127.5 - 1)
        made.item()
        rates.append(steps / (time.perf_counter() - start))
    return rates[1:]


if __name__ == "__main__":
    compare("benchmarks.likelihoods", __doc__, SYSTEMS, {"pytorch": measure_pytorch, "jaxgen": measure_jaxgen})
