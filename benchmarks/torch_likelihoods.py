"""Training and sampling of the diffusion model and the flow of `benchmarks.likelihoods`, in PyTorch."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.torch_glow import Glow
from benchmarks.torch_training import DEVICE, adam, descend, steps_per_second
from benchmarks.torch_unet import UNet

__all__ = ["DiffusionModel", "Flow", "Glow", "UNet", "measure"]


class DiffusionModel:
    """Denoising diffusion with 1,000 timesteps and a linear schedule, sampled by DDIM."""

    def __init__(self, network: UNet, sampling_steps: int):
        self.network, self.sampling_steps = network, sampling_steps
        self.alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, device=DEVICE), 0)

    def loss(self, image: torch.Tensor) -> torch.Tensor:
        """Returns the mean squared error of the predicted noise."""
        t, noise = torch.randint(1000, (len(image),), device=DEVICE), torch.randn_like(image)
        kept = self.alpha_bar[t][:, None, None, None]
        predicted = self.network(kept.sqrt() * image + (1 - kept).sqrt() * noise, t.float())
        return ((predicted - noise) ** 2).mean()

    def sample(self, n: int, side: int) -> torch.Tensor:
        """Returns n images (n, 3, side, side)."""
        x = torch.randn(n, 3, side, side, device=DEVICE)
        times = torch.linspace(999, 0, self.sampling_steps).round().long().tolist()
        for t, s in zip(times, [*times[1:], None], strict=True):
            kept = self.alpha_bar[t]
            after = torch.ones_like(kept) if s is None else self.alpha_bar[s]
            noise = self.network(x, torch.full((n,), float(t), device=DEVICE))
            image = ((x - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
            noise = (x - kept.sqrt() * image) / (1 - kept).sqrt()
            x = after.sqrt() * image + (1 - after).sqrt() * noise
        return x


class Flow:
    """A flow that is trained on uniformly dequantised images."""

    def __init__(self, network: Glow):
        self.network = network

    def loss(self, image: torch.Tensor) -> torch.Tensor:
        """Returns the mean negative log-density, in nats."""
        return -self.network.log_prob(image + torch.rand_like(image) / 128).mean()

    def sample(self, n: int, side: int) -> torch.Tensor:
        """Returns n images (n, 3, side, side)."""
        return self.network.sample(n)


def measure(
    make: Callable[[], DiffusionModel | Flow], images: np.ndarray, batch_size: int, steps: int, *, sampling: bool
) -> list[float]:
    """Returns the steps per second, read every `steps` steps, of the model that `make` returns: steps of training on
    the images (n, side, side, 3), or with `sampling` batches of samples."""
    torch.manual_seed(0)
    model = make()
    network = model.network.to(DEVICE)
    optimiser = adam(network, rate=1e-3, b1=0.9)
    data = torch.from_numpy(images).to(DEVICE).permute(0, 3, 1, 2)

    def train():
        chosen = torch.randint(len(data), (batch_size,), device=DEVICE)
        return descend(optimiser, model.loss(data[chosen].float() / 127.5 - 1))

    @torch.no_grad()
    def sample():
        return model.sample(batch_size, images.shape[1]).mean()

    return steps_per_second(sample if sampling else train, steps)
