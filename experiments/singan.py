"""SinGAN (Shaham et al. 2019, arXiv:1905.01164): what can be learned from a single image.

python -m experiments.singan                                    photo:china, 128 pixels
python -m experiments.singan --source image:FILE --run DIR
python -m experiments.singan paper --source image:FILE          250 pixels, 2,000 steps a scale
python -m experiments.singan super_resolution --source image:FILE
python -m experiments.singan sample --run DIR --size 80 240     images of another size and aspect
python -m experiments.singan paint --run DIR --input CLIPART --scale 2
python -m experiments.singan edit --run DIR --input EDITED --mask MASK
python -m experiments.singan harmonize --run DIR --input PASTED --mask MASK
python -m experiments.singan super-resolve --run DIR --input FILE --factor 4
python -m experiments.singan animate --run DIR
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key
from PIL import Image, ImageFilter

from jaxgen.cli import Config, Drawn, Experiment, OnRun, Sampling, at_least, main, parse, positive
from jaxgen.cli.experiment import Command
from jaxgen.cli.sampling import Load, drawn
from jaxgen.data import read_image
from jaxgen.evaluation import Evaluator
from jaxgen.evaluation.pictures import draw_single_image
from jaxgen.evaluation.single_image import single_image_evaluator
from jaxgen.losses import Penalty, gradient_penalty
from jaxgen.metrics import psnr, sifid, ssim
from jaxgen.models import SinGAN
from jaxgen.models.singan import resized
from jaxgen.networks import SinGANDiscriminator, SinGANGenerator
from jaxgen.pixels import normalise, to_uint8
from jaxgen.report import image_grid, save_animation, save_image
from jaxgen.types import State


@dataclass(frozen=True)
class SinGANConfig(Config):
    """The settings of SinGAN."""

    source: str = "photo:china"
    steps: int | None = None
    """The number of training steps; by default the sum of the steps of all scales."""
    batch_size: int = 1
    scale_steps: int = 2000
    """The number of steps of each scale."""
    smallest: int = 25
    """The pixels of the shorter side at the coarsest scale."""
    largest: int = 250
    """The largest number of pixels of the longer side, which the finest scale has."""
    factor: float = 0.75
    """The size of a scale divided by that of the next, at least."""
    width: int = 32
    """The channels of the players, doubled every four scales."""
    widest: int = 128
    """The largest number of channels."""
    discriminator_steps: int = 3
    """The number of updates of the discriminator in a step."""
    generator_steps: int = 3
    """The number of updates of the generator in a step."""
    reconstruction_weight: float = 10.0
    """α, the weight of the reconstruction."""
    penalty_weight: float = 0.1
    """λ, the weight of the gradient penalty."""
    noise: float = 0.1
    """The noise of the finer scales, in units of the error of reconstruction."""
    learning_rate: float = 5e-4
    """The learning rate of Adam, for both players; in the last fifth of each scale a tenth of it."""
    b1: float = 0.5
    """The decay of Adam's first moment."""
    eval_every: int = 0

    def __post_init__(self) -> None:
        if self.batch_size != 1 or self.seeds != 1:
            raise ValueError("--batch-size, --seeds: a model of one image needs 1")
        if not 0 < self.factor < 1:
            raise ValueError(f"--factor {self.factor}: between 0 and 1 is needed")
        at_least(1, self, "scale_steps", "smallest", "largest", "width", "widest")
        at_least(1, self, "discriminator_steps", "generator_steps")
        positive(self, "learning_rate")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs that could mirror their image; one that did is not read."""
        return super().upgraded({name: value for name, value in stored.items() if name != "flip" or value})


paper = SinGANConfig()
presets = {
    "small": replace(paper, largest=128, scale_steps=500, widest=32),
    "paper": paper,
    "super_resolution": replace(paper, factor=0.5 ** (1 / 3), reconstruction_weight=100.0),
}


def build(config: SinGANConfig, data: Any) -> SinGAN:
    """Returns the SinGAN of a config for the image of `data`."""
    if "image" not in data.example or len(data.example["image"].shape) != 3:
        raise ValueError(f"{config.source}: an image is needed, of a source such as photo:china or image:FILE")

    def adam(updates: int) -> optax.GradientTransformation:
        rate = optax.piecewise_constant_schedule(config.learning_rate, {config.scale_steps * updates * 4 // 5: 0.1})
        return optax.adam(rate, config.b1)

    names = "smallest largest factor widest discriminator_steps generator_steps reconstruction_weight"
    return SinGAN(
        SinGANGenerator(config.width, dtype=config.dtype),
        SinGANDiscriminator(config.width, dtype=config.dtype),
        adam(config.generator_steps),
        adam(config.discriminator_steps),
        data.example["image"].shape,
        steps=config.scale_steps,
        noise=config.noise,
        penalties=(Penalty(gradient_penalty, config.penalty_weight),),
        **{name: getattr(config, name) for name in names.split()},
    )


def real(model: SinGAN, data: Any) -> Float[Array, "1 h w c"]:
    """Returns the training image at the finest scale."""
    return jnp.clip(resized(normalise(jnp.asarray(data.batch(np.arange(1))["image"])), model.sizes[-1]), -1, 1)


def evaluator(config: SinGANConfig, model: SinGAN, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of the reconstruction and of samples against the image."""
    if len(train) > 1:
        raise ValueError(f"{config.source}: {len(train)} images, but the model learns from one; see image:FILE")
    return single_image_evaluator(model.sample, model.reconstruct, real(model, train))


def pictures(config: SinGANConfig, model: SinGAN, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws the image, its reconstruction and samples, also of other sizes."""

    def sample(state: State, key: Array, n: int, size: tuple[int, int] | None) -> Array:
        return model.sample(state, key, n, size=size)

    draw_single_image(sample, model.reconstruct, real(model, train), state, run)


@dataclass(frozen=True)
class SinGANSampling(Sampling):
    """How a SinGAN samples."""

    size: tuple[int, int] | None = None
    """The height and width of the images; by default those of the finest scale."""

    def options(self) -> dict[str, Any]:
        """Returns the size."""
        return {"size": self.size}

    def draw(self, model: SinGAN, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Draws n images."""
        return Drawn(drawn(model, state, key, n, **self.options()), max(1, round(n**0.5)))


@dataclass(frozen=True)
class Use(OnRun):
    """The flags that the uses of a run share."""

    out: Path | None = None
    """The file to write; by default one with the command's name in the run folder."""
    seed: int = 0
    """The seed of the noise."""

    def write(self, name: str, images: Float[Array, "n h w c"]) -> None:
        """Writes the image, or several in a grid."""
        path = self.out or self.run / f"{name}.png"
        shown = np.asarray(to_uint8(images))
        save_image(path, shown[0] if len(shown) == 1 else image_grid(shown, max(1, round(len(shown) ** 0.5))))
        print(f"{len(shown)} image{'s' * (len(shown) > 1)} of {shown.shape[1]}×{shown.shape[2]}: {path}")


def read(path: Path, channels: int) -> Float[Array, "1 h w c"]:
    """Reads an image file in [-1, 1], as a batch of one."""
    return normalise(jnp.asarray(read_image(path, channels))[None])


def refiner(name: str, doc: str, start: int) -> Command:
    """Returns the command of one of the uses that feed an image in at a scale."""

    @dataclass(frozen=True)
    class Refine(Use):
        input: Path = field(kw_only=True)
        """The image."""
        mask: Path | None = None
        """A picture that is white where the image may change; its border is softened. By default all may change."""
        scale: int = start
        """The scale from which on the image is made anew, counted from the coarsest, 0; negative: from the finest."""

    def command(experiment: Experiment, args: list[str]) -> None:
        flags = parse(Refine, args, f"{experiment.program} {name}", doc)
        run = flags.open(experiment)
        model, count = run.model, len(run.model.sizes)
        scale = flags.scale + count * (flags.scale < 0)
        if not 1 <= scale < count:
            raise ValueError(f"--scale {flags.scale}: this run has the scales 1 to {count - 1} above the coarsest")
        image = read(flags.input, model.shape[2])
        made = jax.jit(model.refine, static_argnums=3)(run.state, jax.random.key(flags.seed), image, scale)
        if flags.mask is not None:
            soft = softened(flags.mask, made.shape[1:3])
            made = soft * made + (1 - soft) * resized(image, made.shape[1:3])
        flags.write(name, made)

    return command


def softened(path: Path, size: tuple[int, int]) -> Float[Array, "1 h w 1"]:
    """Reads a mask as weights in [0, 1], its white part grown by a 32nd of the height and blurred at the border."""
    mask = Image.fromarray(read_image(path, 1)[..., 0])
    if mask.size[::-1] != size:
        print(f"{path}: resized from {mask.height}×{mask.width} to {size[0]}×{size[1]}")
        mask = mask.resize(size[::-1])
    grown = mask.filter(ImageFilter.MaxFilter(2 * (size[0] // 32) + 1))
    blurred = grown.filter(ImageFilter.GaussianBlur(size[0] / 40))
    return jnp.asarray(blurred, jnp.float32)[None, ..., None] / 255


@dataclass(frozen=True)
class SuperResolve(Use):
    """The flags of `super-resolve`."""

    input: Path | None = None
    """The image; by default the training image at its finest scale."""
    factor: float = 4.0
    """The factor by which the sides of the image grow."""
    reference: Path | None = None
    """The same image in full, to compare with: figures of the result and of bicubic interpolation are printed."""


def super_resolve(experiment: Experiment, args: list[str]) -> None:
    """Enlarges an image, with detail such as the training image has."""
    flags = parse(SuperResolve, args, f"{experiment.program} super-resolve", super_resolve.__doc__ or "")
    run = flags.open(experiment)
    model, state = run.model, run.state
    image = model.reconstruct(state) if flags.input is None else read(flags.input, model.shape[2])
    made = jax.jit(model.super_resolve, static_argnums=3)(state, jax.random.key(flags.seed), image, flags.factor)
    flags.write("super-resolve", made)
    if flags.reference is not None:
        size = made.shape[1:3]
        wanted = resized(read(flags.reference, model.shape[2]), size)
        for name, found in {"SinGAN": made, "bicubic": jnp.clip(resized(image, size), -1, 1)}.items():
            figures = float(psnr(found, wanted)[0]), float(ssim(found, wanted)[0]), sifid(wanted, found)
            print("{:8} PSNR {:.2f} dB, SSIM {:.3f}, SIFID of patches {:.4f}".format(name, *figures))


@dataclass(frozen=True)
class Animate(Use):
    """The flags of `animate`."""

    frames: int = 30
    """The number of frames."""
    alpha: float = 0.1
    """How strongly the noise is drawn back to that of the reconstruction, 0 to 1."""
    beta: float = 0.9
    """How smoothly the noise moves, 0 to 1."""
    start: int = 1
    """The first scale that moves."""


def animate(experiment: Experiment, args: list[str]) -> None:
    """Makes a video from the image, as a GIF."""
    flags = parse(Animate, args, f"{experiment.program} animate", animate.__doc__ or "")
    if flags.frames < 2 or not 0 <= flags.alpha <= 1 or not 0 <= flags.beta <= 1:
        raise ValueError("--frames: at least 2 are needed; --alpha and --beta: 0 to 1 is allowed")
    run = flags.open(experiment)
    frames = jax.jit(run.model.animate, static_argnums=(2, 5))(
        run.state, jax.random.key(flags.seed), flags.frames, flags.alpha, flags.beta, flags.start
    )
    path = flags.out or flags.run / "animate.gif"
    save_animation(path, list(np.asarray(to_uint8(frames))), colours=128)
    print(f"{flags.frames} frames: {path}")


experiment = Experiment(
    __file__,
    presets,
    build,
    evaluator,
    pictures,
    sampling=SinGANSampling,
    doc=__doc__,
    commands={
        "paint": refiner("paint", "Turns a clipart into a picture of the training image's kind.", 2),
        "edit": refiner("edit", "Takes the seams from an edited image.", -2),
        "harmonize": refiner("harmonize", "Gives what was pasted in the style of the rest.", -2),
        "super-resolve": super_resolve,
        "animate": animate,
    },
)

if __name__ == "__main__":
    main(experiment)
