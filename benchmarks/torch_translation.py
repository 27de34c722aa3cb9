"""The training steps of the models from images to images of `benchmarks.translation`, in PyTorch."""

import random
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_training import DEVICE, adam, descend, freeze, gradient_penalty, steps_per_second
from benchmarks.torch_translators import (
    DiscoDiscriminator,
    StarDiscriminator,
    disco_generator,
    patch_gan,
    translator,
    unet,
)

__all__ = ["measure"]

Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""A function that takes a training step on the two arrays of a batch and returns the sum of the losses."""

ADAM = {"rate": 2e-4, "b1": 0.5}
POOL = 50  # earlier translations that CycleGAN's discriminators see


def pix2pix() -> Step:
    """Returns the step of Pix2Pix, on sources and targets."""
    generator, discriminator = unet().to(DEVICE), patch_gan(6, nn.BatchNorm2d, False).to(DEVICE)
    generator_adam, discriminator_adam = adam(generator, **ADAM), adam(discriminator, **ADAM)

    def step(source, target):
        fake = generator(source)
        freeze([discriminator], False)
        on_fake = discriminator(torch.cat([source, fake.detach()], 1))
        on_real = discriminator(torch.cat([source, target], 1))
        total = descend(discriminator_adam, 0.5 * (F.softplus(on_fake).mean() + F.softplus(-on_real).mean()))
        freeze([discriminator], True)
        loss = F.softplus(-discriminator(torch.cat([source, fake], 1))).mean() + 100 * F.l1_loss(fake, target)
        return total + descend(generator_adam, loss)

    return step


def pooled(pool: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Returns images that half of the time are replaced by earlier ones, and keeps them in the pool."""
    shown = []
    for image in images.detach():
        if len(pool) < POOL:
            pool.append(image)
        elif random.random() < 0.5:
            place = random.randrange(POOL)
            pool[place], image = image, pool[place]
        shown.append(image)
    return torch.stack(shown)


def cyclegan() -> Step:
    """Returns the step of CycleGAN, on images of the domains a and b."""
    to_a, to_b = (translator(3, 9, reflect=True, affine=False).to(DEVICE) for _ in range(2))
    discriminators = [patch_gan(3, nn.InstanceNorm2d, True).to(DEVICE) for _ in range(2)]
    generator_adam, discriminator_adam = adam(to_a, to_b, **ADAM), adam(*discriminators, **ADAM)
    pools = [[], []]

    def step(a, b):
        fakes = fake_a, fake_b = to_a(b), to_b(a)
        freeze(discriminators, True)
        loss = sum(((judge(fake) - 1) ** 2).mean() for judge, fake in zip(discriminators, fakes, strict=True))
        loss = loss + 10 * (F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b))
        loss = loss + 5 * (F.l1_loss(to_a(a), a) + F.l1_loss(to_b(b), b))
        total = descend(generator_adam, loss)
        freeze(discriminators, False)
        loss = torch.zeros((), device=DEVICE)
        for judge, pool, fake, real in zip(discriminators, pools, fakes, (a, b), strict=True):
            loss = loss + 0.5 * (((judge(real) - 1) ** 2).mean() + (judge(pooled(pool, fake)) ** 2).mean())
        return total + descend(discriminator_adam, loss)

    return step


def discogan() -> Step:
    """Returns the step of DiscoGAN, on images of the domains a and b: three minibatches, one for the discriminators and
    two for the generators."""
    to_a, to_b = (disco_generator().to(DEVICE) for _ in range(2))
    discriminators = [DiscoDiscriminator().to(DEVICE) for _ in range(2)]
    generator_adam, discriminator_adam = adam(to_a, to_b, **ADAM), adam(*discriminators, **ADAM)

    def discriminator_step(a, b):
        with torch.no_grad():
            fakes = to_a(b), to_b(a)
        loss = torch.zeros((), device=DEVICE)
        for judge, fake, real in zip(discriminators, fakes, (a, b), strict=True):
            loss = loss + 0.5 * (F.softplus(-judge(real)[0]).mean() + F.softplus(judge(fake)[0]).mean())
        return descend(discriminator_adam, loss)

    def generator_step(a, b):
        fake_a, fake_b = to_a(b), to_b(a)
        loss = 0.01 * (F.mse_loss(to_a(fake_b), a) + F.mse_loss(to_b(fake_a), b))
        for judge, fake, real in zip(discriminators, (fake_a, fake_b), (a, b), strict=True):
            logits, matched = judge(fake)
            with torch.no_grad():
                _, features = judge(real)
            matching = sum(((x.mean(0) - y.mean(0)) ** 2).mean() for x, y in zip(features, matched, strict=True))
            loss = loss + 0.99 * (0.1 * F.softplus(-logits).mean() + 0.9 * matching)
        return descend(generator_adam, loss)

    def step(a, b):
        a, b = a.chunk(3), b.chunk(3)
        freeze(discriminators, False)
        total = discriminator_step(a[0], b[0])
        freeze(discriminators, True)
        return total + generator_step(a[1], b[1]) + generator_step(a[2], b[2])

    return step


def stargan(size: int, attributes: int) -> Step:
    """Returns the step of StarGAN, on square images of `size` pixels a side and their attributes (b, k): five
    minibatches, one for each step of the discriminator, the last for the generator too."""
    generator = translator(3 + attributes, 6, reflect=False, affine=True).to(DEVICE)
    discriminator = StarDiscriminator(size, attributes).to(DEVICE)
    generator_adam, discriminator_adam = adam(generator, **ADAM), adam(discriminator, **ADAM)

    def translate(image, wanted):
        maps = wanted[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return generator(torch.cat([image, maps], 1))

    def classification(logits, wanted):
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)

    def discriminator_step(image, own, target):
        with torch.no_grad():
            fake = translate(image, target)
        values, logits = discriminator(image)
        penalty = gradient_penalty(lambda x: discriminator(x)[0], image, fake)
        loss = discriminator(fake)[0].mean() - values.mean() + classification(logits, own) + 10 * penalty
        return descend(discriminator_adam, loss)

    def generator_step(image, own, target):
        fake = translate(image, target)
        values, logits = discriminator(fake)
        again = F.l1_loss(translate(fake, own), image)
        return descend(generator_adam, classification(logits, target) - values.mean() + 10 * again)

    def step(images, labels):
        minibatches = [
            (image, own, own[torch.randperm(len(own))])
            for image, own in zip(images.chunk(5), labels.chunk(5), strict=True)
        ]
        freeze([discriminator], False)
        total = torch.zeros((), device=DEVICE)
        for minibatch in minibatches:
            total += discriminator_step(*minibatch)
        freeze([discriminator], True)
        return total + generator_step(*minibatches[-1])

    return step


def measure(system: str, arrays: Mapping[str, np.ndarray], batch_size: int, steps: int) -> list[float]:
    """Returns the steps per second of the system, read every `steps` steps.

    `arrays` are the two arrays of the data set, images (n, h, w, 3) and images or attributes (n, k). `batch_size` is
    the number of examples in a minibatch.
    """
    torch.manual_seed(0)
    first, second = arrays.values()
    make, minibatches = {
        "Pix2Pix": (pix2pix, 1),
        "CycleGAN": (cyclegan, 1),
        "DiscoGAN": (discogan, 3),
        "StarGAN": (lambda: stargan(first.shape[1], second.shape[1]), 5),
    }[system]
    step = make()
    data = [torch.from_numpy(array).to(DEVICE) for array in (first, second)]

    def examples(array, chosen):
        return array[chosen].float() if array.ndim == 2 else array[chosen].permute(0, 3, 1, 2).float() / 127.5 - 1

    def one():
        chosen = torch.randint(len(first), (batch_size * minibatches,), device=DEVICE)
        return step(*(examples(array, chosen) for array in data))

    return steps_per_second(one, steps)
