"""Step rate of jaxgen's loop against PyTorch's, eager with fused Adam: pip install torch; python -m benchmarks.pytorch

Both train the same networks on the same 28×28 images, held in memory, at the same batch size. Each measurement is a
process of its own; the two libraries take turns. Printed are the medians over the rounds and their ratio (above 1:
jaxgen is faster). Only the ratios are worth comparing between machines. `--rounds 1` is a quick look.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

EXAMPLES = 10_000
SYSTEMS = {  # batch size, steps between two readings of the clock, devices of jaxgen's mesh on a CPU (None: all)
    "cGAN, MLP": (128, 300, 1),
    "VAE, MLP": (128, 300, 1),
    "DCGAN": (64, 25, None),
}
READINGS = 5  # of the clock in one process, after one to warm up


def images() -> dict[str, np.ndarray]:
    """Noise will do: no operation's speed depends on the pixels."""
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (EXAMPLES, 28, 28, 1), np.uint8)
    return {"image": image, "label": draw.integers(0, 10, EXAMPLES, np.int32)}


def measure_jaxgen(system: str) -> list[float]:
    """Steps per second as `fit` logs them."""
    import os

    import jax
    import optax

    from jaxgen.data import Dataset
    from jaxgen.models import GAN, VAE
    from jaxgen.networks import (
        DCGANDiscriminator,
        DCGANGenerator,
        MLPDecoder,
        MLPDiscriminator,
        MLPEncoder,
        MLPGenerator,
    )

    batch_size, steps, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    shape, adam = (28, 28, 1), optax.adam(2e-4, b1=0.5)
    match system:
        case "cGAN, MLP":
            model = GAN(MLPGenerator(shape, classes=10), MLPDiscriminator(classes=10), adam, adam, classes=10)
        case "VAE, MLP":
            model = VAE(MLPEncoder(), MLPDecoder(shape), optax.adam(1e-3))
        case "DCGAN":
            model = GAN(DCGANGenerator(shape), DCGANDiscriminator(), adam, adam)
    return steps_per_second(model, Dataset(images(), tuple("0123456789")), batch_size, steps, devices)


def steps_per_second(model, data, batch_size: int, steps: int, devices: int | None) -> list[float]:
    """Of jaxgen's loop as it logs them, every so many steps, on so many devices of a CPU."""
    import jax

    from jaxgen.training import data_mesh, fit, read_metrics

    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            data,
            steps=(READINGS + 1) * steps,
            batch_size=batch_size,
            run=Path(folder),
            mesh=data_mesh(devices if jax.default_backend() == "cpu" else None),
            log_every=steps,
            checkpoint_every=0,
            progress=False,
        )
        records = read_metrics(folder)
    return [record["steps_per_second"] for record in records if "steps_per_second" in record]


def measure_pytorch(system: str) -> list[float]:
    """The usual eager loop; losses stay on the device until the clock is read."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    def adam(network: nn.Module, rate: float = 2e-4, b1: float = 0.5) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), rate, (b1, 0.999), fused=True)

    class ConditionalGenerator(nn.Module):
        def __init__(self):
            super().__init__()
            self.latent, self.label = nn.Linear(100, 128), nn.Linear(10, 128)
            self.hidden, self.out = nn.Linear(256, 512), nn.Linear(512, 784)

        def forward(self, z, code):
            x = F.relu(torch.cat([self.latent(z), self.label(code)], 1))
            return torch.sigmoid(self.out(F.relu(self.hidden(x))))

    class ConditionalDiscriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.label = nn.Linear(784, 512), nn.Linear(512, 128), nn.Linear(10, 128)
            self.joint, self.out = nn.Linear(256, 32), nn.Linear(32, 1)

        def forward(self, x, code):
            x = F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)
            x = torch.cat([x, F.leaky_relu(self.label(code), 0.2)], 1)
            return self.out(F.leaky_relu(self.joint(x), 0.2))[:, 0]

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = nn.Linear(784, 500), nn.Linear(500, 40)

        def forward(self, x):
            return self.out(F.relu(self.hidden(x))).chunk(2, 1)

    def convolutional() -> tuple[nn.Module, nn.Module]:  # DCGAN at 28×28: 7 → 14 → 28
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

    def gan_step(generator, discriminator):
        generator_adam, discriminator_adam = adam(generator), adam(discriminator)

        def step(x, condition):
            with torch.no_grad():
                fake = generator(torch.randn(len(x), 100, device=device), *condition)
            real_logits, fake_logits = discriminator(x, *condition), discriminator(fake, *condition)
            d_loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
            discriminator_adam.zero_grad()
            d_loss.backward()
            discriminator_adam.step()
            fake = generator(torch.randn(len(x), 100, device=device), *condition)
            g_loss = F.softplus(-discriminator(fake, *condition)).mean()
            generator_adam.zero_grad()
            g_loss.backward()
            generator_adam.step()
            return d_loss.detach() + g_loss.detach()

        return step

    def vae_step():
        encoder = Encoder().to(device)
        decoder = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784)).to(device)
        optimiser = adam(nn.ModuleList([encoder, decoder]), 1e-3, 0.9)

        def step(x, _):
            mean, log_variance = encoder(x)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
            loss = (F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum") + kl) / len(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss.detach()

        return step

    match system:
        case "cGAN, MLP":
            step = gan_step(ConditionalGenerator().to(device), ConditionalDiscriminator().to(device))
        case "VAE, MLP":
            step = vae_step()
        case "DCGAN":
            step = gan_step(*(player.to(device) for player in convolutional()))
    batch_size, steps, _ = SYSTEMS[system]
    data = {name: torch.from_numpy(array).to(device) for name, array in images().items()}
    rates = []
    for _ in range(READINGS + 1):
        start, total = time.perf_counter(), torch.zeros((), device=device)
        for _ in range(steps):
            chosen = torch.randint(EXAMPLES, (batch_size,), device=device)
            x = data["image"][chosen].float() / 255
            if system == "DCGAN":
                batch = (2 * x - 1).permute(0, 3, 1, 2), ()
            else:
                batch = x.flatten(1), (F.one_hot(data["label"][chosen].long(), 10).float(),)
            total += step(*batch)
        assert np.isfinite(total.item())
        rates.append(steps / (time.perf_counter() - start))
    return rates[1:]


def compare(module: str, doc: str, systems: dict[str, tuple[int, ...]], measure: dict[str, Callable]) -> None:
    """The command line of `python -m MODULE`: each library measures each system in processes of their own, in turns.

    systems: by name the batch size, and what else `measure` takes from it
    measure: by library a function from a system's name to its steps per second, read several times
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each library for each system")
    parser.add_argument("--measure", nargs=2, metavar=("LIBRARY", "SYSTEM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        library, system = options.measure
        print(json.dumps(measure[library](system)))
        return
    for system, (batch_size, *_) in systems.items():
        rates: dict[str, list[float]] = {library: [] for library in measure}
        for _ in range(options.rounds):
            for library, found in rates.items():
                command = [sys.executable, "-m", module, "--measure", library, system]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found.append(statistics.median(json.loads(output.splitlines()[-1])))
        theirs, ours = (statistics.median(found) for found in rates.values())
        ratios = sorted(a / b for a, b in zip(rates["jaxgen"], rates["pytorch"], strict=True))
        print(
            f"{system:10} batch {batch_size:4}   PyTorch {theirs:7.2f} steps/s   jaxgen {ours:7.2f} steps/s   "
            f"ratio {statistics.median(ratios):.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    compare("benchmarks.pytorch", __doc__, SYSTEMS, {"pytorch": measure_pytorch, "jaxgen": measure_jaxgen})
