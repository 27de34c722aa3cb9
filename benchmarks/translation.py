"""Step rate of the models from images to images against PyTorch's, eager: python -m benchmarks.translation

As `benchmarks.pytorch`, with the published networks and one reading of the clock for each of a few steps; images are
smaller than published, so that a step takes seconds.
"""

import random
import time
from itertools import pairwise

import numpy as np

from benchmarks.pytorch import READINGS, compare, steps_per_second

SYSTEMS = {  # batch size, side of the images, devices of jaxgen's mesh on a CPU (None: all)
    "Pix2Pix": (1, 256, 1),
    "CycleGAN": (1, 128, 1),
    "DiscoGAN": (32, 64, None),
    "StarGAN": (4, 64, None),
}
EXAMPLES = 200
ATTRIBUTES = 5


def noise(system: str) -> dict[str, np.ndarray]:
    """No operation's speed depends on the pixels."""
    size = SYSTEMS[system][1]
    draw = np.random.default_rng(0)
    names = {"Pix2Pix": ["source", "target"], "StarGAN": ["image"]}.get(system, ["a", "b"])
    arrays = {name: draw.integers(0, 256, (EXAMPLES, size, size, 3)).astype(np.uint8) for name in names}
    if system == "StarGAN":
        arrays["attributes"] = draw.integers(0, 2, (EXAMPLES, ATTRIBUTES)).astype(np.int32)
    return arrays


def measure_jaxgen(system: str) -> list[float]:
    """Steps per second as `fit` logs them."""
    import os

    import jax
    import optax

    from jaxgen import networks
    from jaxgen.data import Dataset
    from jaxgen.models import CycleGAN, DiscoGAN, Pix2Pix, StarGAN

    batch_size, _, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    adam = optax.adam(2e-4, b1=0.5)
    match system:
        case "Pix2Pix":
            model = Pix2Pix(networks.UNetGenerator(), networks.PatchGANDiscriminator(), adam, adam)
        case "CycleGAN":
            judge = networks.PatchGANDiscriminator(norm="instance")
            model = CycleGAN(networks.CycleGANGenerator(), networks.CycleGANGenerator(), judge, judge, adam, adam)
        case "DiscoGAN":
            judge = networks.DiscoGANDiscriminator()
            model = DiscoGAN(networks.DiscoGANGenerator(), networks.DiscoGANGenerator(), judge, judge, adam, adam)
        case "StarGAN":
            players = networks.StarGANGenerator(), networks.StarGANDiscriminator(ATTRIBUTES)
            model = StarGAN(*players, adam, adam, groups=(1,) * ATTRIBUTES)
    data = Dataset(noise(system), unpaired="a" in noise(system))
    return steps_per_second(model, data, batch_size, 2, devices)


def measure_pytorch(system: str) -> list[float]:
    """The usual eager loop, with fused Adam; losses stay on the device until the clock is read."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def adam(*players: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(nn.ModuleList(players).parameters(), 2e-4, (0.5, 0.999), fused=True)

    def descend(optimiser, loss):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    def freeze(players, frozen: bool):
        for player in players:
            player.requires_grad_(not frozen)

    class UNetBlock(nn.Module):
        def __init__(self, outer, inner, inside=None, dropout=False, outermost=False):
            super().__init__()
            down = [nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=False)]
            up = [nn.ReLU(), nn.ConvTranspose2d(inner * (2 if inside else 1), outer, 4, 2, 1, bias=outermost)]
            if not outermost:
                down = [nn.LeakyReLU(0.2), *down, *([nn.BatchNorm2d(inner)] if inside else [])]
                up += [nn.BatchNorm2d(outer), *([nn.Dropout(0.5)] if dropout else [])]
            self.body = nn.Sequential(*down, *([inside] if inside else []), *up, *([nn.Tanh()] if outermost else []))
            self.outermost = outermost

        def forward(self, x):
            return self.body(x) if self.outermost else torch.cat([x, self.body(x)], 1)

    def unet():
        block = UNetBlock(512, 512)
        for _ in range(3):
            block = UNetBlock(512, 512, block, dropout=True)
        for outer, inner in ((256, 512), (128, 256), (64, 128)):
            block = UNetBlock(outer, inner, block)
        return UNetBlock(3, 64, block, outermost=True)

    def patch_gan(channels, norm, bias):
        layers, last = [nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2)], 64
        for width, stride in ((128, 2), (256, 2), (512, 1)):
            layers += [nn.Conv2d(last, width, 4, stride, 1, bias=bias), norm(width), nn.LeakyReLU(0.2)]
            last = width
        return nn.Sequential(*layers, nn.Conv2d(last, 1, 4, 1, 1))

    class Residual(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.body = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.body(x)

    def translator(channels, blocks, *, reflect, affine):
        """CycleGAN's generator, or StarGAN's."""

        def norm(width):
            return nn.InstanceNorm2d(width, affine=affine)

        def conv(a, b, kernel):
            mode = "reflect" if reflect else "zeros"
            return nn.Conv2d(a, b, kernel, 1, kernel // 2, bias=reflect, padding_mode=mode)

        def residual():
            return Residual(conv(256, 256, 3), norm(256), nn.ReLU(), conv(256, 256, 3), norm(256))

        size, more = (3, {"output_padding": 1}) if reflect else (4, {})
        layers = [conv(channels, 64, 7), norm(64), nn.ReLU()]
        for a, b in ((64, 128), (128, 256)):
            layers += [nn.Conv2d(a, b, size, 2, 1, bias=reflect), norm(b), nn.ReLU()]
        layers += [residual() for _ in range(blocks)]
        for a, b in ((256, 128), (128, 64)):
            layers += [nn.ConvTranspose2d(a, b, size, 2, 1, bias=reflect, **more), norm(b), nn.ReLU()]
        return nn.Sequential(*layers, conv(64, 3, 7), nn.Tanh())

    def pix2pix():
        generator, judge = unet().to(device), patch_gan(6, nn.BatchNorm2d, False).to(device)
        generator_adam, judge_adam = adam(generator), adam(judge)

        def step(source, target):
            fake = generator(source)
            freeze([judge], False)
            on_fake, on_real = judge(torch.cat([source, fake.detach()], 1)), judge(torch.cat([source, target], 1))
            total = descend(judge_adam, 0.5 * (F.softplus(on_fake).mean() + F.softplus(-on_real).mean()))
            freeze([judge], True)
            loss = F.softplus(-judge(torch.cat([source, fake], 1))).mean() + 100 * F.l1_loss(fake, target)
            return total + descend(generator_adam, loss)

        return step

    def cyclegan():
        to_a, to_b = (translator(3, 9, reflect=True, affine=False).to(device) for _ in range(2))
        judges = [patch_gan(3, nn.InstanceNorm2d, True).to(device) for _ in range(2)]
        generator_adam, judge_adam = adam(to_a, to_b), adam(*judges)
        pools = [[], []]

        def pooled(pool, images):
            shown = []
            for image in images.detach():
                if len(pool) < 50:
                    pool.append(image)
                elif random.random() < 0.5:
                    place = random.randrange(50)
                    pool[place], image = image, pool[place]
                shown.append(image)
            return torch.stack(shown)

        def step(a, b):
            fake_a, fake_b = to_a(b), to_b(a)
            freeze(judges, True)
            loss = sum(((judge(fake) - 1) ** 2).mean() for judge, fake in zip(judges, (fake_a, fake_b), strict=True))
            loss = loss + 10 * (F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b))
            loss = loss + 5 * (F.l1_loss(to_a(a), a) + F.l1_loss(to_b(b), b))
            total = descend(generator_adam, loss)
            freeze(judges, False)
            loss = 0.0
            for judge, pool, fake, real in zip(judges, pools, (fake_a, fake_b), (a, b), strict=True):
                loss = loss + 0.5 * (((judge(real) - 1) ** 2).mean() + (judge(pooled(pool, fake)) ** 2).mean())
            return total + descend(judge_adam, loss)

        return step

    def disco_generator():
        layers, last = [], 3
        for i, width in enumerate((64, 128, 256, 512)):
            layers += [nn.Conv2d(last, width, 4, 2, 1, bias=False), *([nn.BatchNorm2d(width)] if i else [])]
            layers.append(nn.LeakyReLU(0.2))
            last = width
        for width in (256, 128, 64):
            layers += [nn.ConvTranspose2d(last, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            last = width
        return nn.Sequential(*layers, nn.ConvTranspose2d(last, 3, 4, 2, 1, bias=False), nn.Sigmoid())

    class DiscoJudge(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
            for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)):
                self.convs.append(nn.Conv2d(a, b, 4, 2, 1, bias=False))
                self.norms.append(nn.BatchNorm2d(b) if a > 3 else nn.Identity())
            self.last = nn.Conv2d(512, 1, 4, bias=False)

        def forward(self, x):
            features = []
            for conv, norm in zip(self.convs, self.norms, strict=True):
                x = F.leaky_relu(norm(conv(x)), 0.2)
                features.append(x)
            return self.last(x), features[1:]

    def discogan():
        to_a, to_b = (disco_generator().to(device) for _ in range(2))
        judges = [DiscoJudge().to(device) for _ in range(2)]
        generator_adam, judge_adam = adam(to_a, to_b), adam(*judges)

        def discriminators(a, b):
            with torch.no_grad():
                fakes = to_a(b), to_b(a)
            loss = 0.0
            for judge, fake, real in zip(judges, fakes, (a, b), strict=True):
                loss = loss + 0.5 * (F.softplus(-judge(real)[0]).mean() + F.softplus(judge(fake)[0]).mean())
            return descend(judge_adam, loss)

        def generators(a, b):
            fake_a, fake_b = to_a(b), to_b(a)
            loss = 0.01 * (F.mse_loss(to_a(fake_b), a) + F.mse_loss(to_b(fake_a), b))
            for judge, fake, real in zip(judges, (fake_a, fake_b), (a, b), strict=True):
                logits, matched = judge(fake)
                with torch.no_grad():
                    _, features = judge(real)
                matching = sum(((x.mean(0) - y.mean(0)) ** 2).mean() for x, y in zip(features, matched, strict=True))
                loss = loss + 0.99 * (0.1 * F.softplus(-logits).mean() + 0.9 * matching)
            return descend(generator_adam, loss)

        def step(a, b):
            a, b = a.chunk(3), b.chunk(3)
            freeze(judges, False)
            total = discriminators(a[0], b[0])
            freeze(judges, True)
            return total + generators(a[1], b[1]) + generators(a[2], b[2])

        return step

    class StarJudge(nn.Module):
        def __init__(self, size):
            super().__init__()
            levels = size.bit_length() - 2
            widths = [3, *(64 * 2**i for i in range(levels))]
            layers = []
            for a, b in pairwise(widths):
                layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)]
            self.body, self.values = nn.Sequential(*layers), nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
            self.logits = nn.Conv2d(widths[-1], ATTRIBUTES, size >> levels, bias=False)

        def forward(self, x):
            x = self.body(x)
            return self.values(x), self.logits(x)[:, :, 0, 0]

    def stargan():
        generator = translator(3 + ATTRIBUTES, 6, reflect=False, affine=True).to(device)
        judge = StarJudge(SYSTEMS[system][1]).to(device)
        generator_adam, judge_adam = adam(generator), adam(judge)

        def translate(image, attributes):
            maps = attributes[:, :, None, None].expand(-1, -1, *image.shape[2:])
            return generator(torch.cat([image, maps], 1))

        def classification(logits, attributes):
            return F.binary_cross_entropy_with_logits(logits, attributes, reduction="sum") / len(logits)

        def step(images, attributes):
            total = 0.0
            freeze([judge], False)
            for image, own in zip(images.chunk(5), attributes.chunk(5), strict=True):
                target = own[torch.randperm(len(own))]
                with torch.no_grad():
                    fake = translate(image, target)
                values, logits = judge(image)
                weight = torch.rand(len(image), 1, 1, 1, device=device)
                between = (weight * image + (1 - weight) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(judge(between)[0].sum(), between, create_graph=True)
                penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
                loss = judge(fake)[0].mean() - values.mean() + classification(logits, own) + 10 * penalty
                total += descend(judge_adam, loss)
            freeze([judge], True)
            fake = translate(image, target)
            values, logits = judge(fake)
            again = F.l1_loss(translate(fake, own), image)
            return total + descend(generator_adam, classification(logits, target) - values.mean() + 10 * again)

        return step

    make, minibatches = {
        "Pix2Pix": (pix2pix, 1),
        "CycleGAN": (cyclegan, 1),
        "DiscoGAN": (discogan, 3),
        "StarGAN": (stargan, 5),
    }[system]
    step, batch_size = make(), SYSTEMS[system][0] * minibatches
    data = {name: torch.from_numpy(array).to(device) for name, array in noise(system).items()}
    rates = []
    for _ in range(READINGS + 1):
        start = time.perf_counter()
        for _ in range(2):
            chosen = torch.randint(EXAMPLES, (batch_size,), device=device)
            images, other = (
                x[chosen].float() if x.ndim == 2 else x[chosen].permute(0, 3, 1, 2).float() / 127.5 - 1
                for x in data.values()
            )
            loss = step(images, other)
        assert np.isfinite(loss.item())
        rates.append(2 / (time.perf_counter() - start))
    return rates[1:]


if __name__ == "__main__":
    compare("benchmarks.translation", __doc__, SYSTEMS, {"pytorch": measure_pytorch, "jaxgen": measure_jaxgen})
