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

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image, ImageFilter

from jaxgen.data import read_image
from jaxgen.evaluation import Evaluator, single_image_evaluator
from jaxgen.evaluation.pictures import draw_single_image
from jaxgen.metrics import psnr, sifid, ssim
from jaxgen.models import SinGAN
from jaxgen.models.singan import resized
from jaxgen.networks import SinGANDiscriminator, SinGANGenerator
from jaxgen.pixels import normalise, to_uint8
from jaxgen.report import image_grid, save_animation, save_image
from jaxgen.training.command_line import flag_of, parse
from jaxgen.training.experiment import Config, Experiment, main
from jaxgen.training.runs import read_run, restore_run


@dataclass(frozen=True)
class SinGANConfig(Config):
    source: str = "photo:china"
    steps: int | None = None
    """Training steps; default: those of all scales."""
    batch_size: int = 1
    scale_steps: int = 2000
    """Of each scale, in each of which the players take their steps."""
    smallest: int = 25
    """Pixels of the shorter side at the coarsest scale."""
    largest: int = 250
    """Pixels of the longer side at the finest scale, at most."""
    factor: float = 0.75
    """Of a scale's size to the next, at least."""
    width: int = 32
    """Channels of the players, doubled every four scales."""
    widest: int = 128
    """The most channels."""
    discriminator_steps: int = 3
    """Of the discriminator in a step."""
    generator_steps: int = 3
    """Of the generator in a step."""
    reconstruction_weight: float = 10.0
    """α of the reconstruction."""
    penalty_weight: float = 0.1
    """λ of the gradient penalty."""
    noise: float = 0.1
    """Of the finer scales, in units of the error of reconstruction."""
    learning_rate: float = 5e-4
    """Adam's, of both players; a tenth of it in the last fifth of each scale."""
    b1: float = 0.5
    """Adam's decay of the first moment."""
    eval_every: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size != 1 or self.seeds != 1:
            raise ValueError("--batch-size, --seeds: 1 is needed, of a model of one image")
        if not 0 < self.factor < 1:
            raise ValueError(f"--factor {self.factor}: between 0 and 1 is needed")
        for name in ("scale_steps", "smallest", "largest", "discriminator_steps", "generator_steps", "widest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{flag_of(name)} {getattr(self, name)}: at least 1 is needed")


paper = SinGANConfig()
presets = {
    "small": replace(paper, largest=128, scale_steps=500, widest=32),
    "paper": paper,
    "super_resolution": replace(paper, factor=0.5 ** (1 / 3), reconstruction_weight=100.0),
}


def build(config: SinGANConfig, data) -> SinGAN:
    if "image" not in data.example or len(data.example["image"].shape) != 3:
        raise ValueError(f"{config.source}: an image is needed, of a source such as photo:china or image:FILE")

    def adam(updates: int) -> optax.GradientTransformation:
        rate = optax.piecewise_constant_schedule(config.learning_rate, {config.scale_steps * updates * 4 // 5: 0.1})
        return optax.adam(rate, config.b1)

    names = "smallest largest factor widest discriminator_steps generator_steps reconstruction_weight penalty_weight"
    return SinGAN(
        SinGANGenerator(config.width, dtype=config.dtype),
        SinGANDiscriminator(config.width, dtype=config.dtype),
        adam(config.generator_steps),
        adam(config.discriminator_steps),
        data.example["image"].shape,
        steps=config.scale_steps,
        noise=config.noise,
        **{name: getattr(config, name) for name in names.split()},
    )


def real(model: SinGAN, data) -> jax.Array:
    """The training image at the finest scale."""
    return jnp.clip(resized(normalise(jnp.asarray(data.batch(np.arange(1))["image"])), model.sizes[-1]), -1, 1)


def evaluator(config: SinGANConfig, model: SinGAN, train, test) -> Evaluator:
    """The error of the reconstruction; SIFID of samples by patches of 5×5 pixels, and how they differ."""
    if len(train) > 1:
        raise ValueError(f"{config.source}: {len(train)} images, but the model is of one; see image:FILE")
    return single_image_evaluator(model.sample, model.reconstruct, real(model, train))


def pictures(config: SinGANConfig, model: SinGAN, state, train, test, run: Path) -> None:
    """The image, its reconstruction and samples; samples of other sizes."""
    draw_single_image(model.sample, model.reconstruct, real(model, train), state, run)


@dataclass(frozen=True)
class Use:
    """What the commands on a run share."""

    run: Path
    """The folder of the run."""
    out: Path | None = None
    """The file to write; default: one with the command's name in the run folder."""
    seed: int = 0
    """Of the noise."""
    checkpoint: int | None = None
    """The step to use; default: the newest."""

    def model(self, experiment: Experiment):
        """The model and its state."""
        config, data = read_run(experiment, self.run)
        model, [state], _ = restore_run(experiment, self.run, config, data, self.checkpoint)
        return model, state

    def write(self, name: str, images: jax.Array) -> None:
        """The image, or several in a row."""
        path = self.out or self.run / f"{name}.png"
        shown = np.asarray(to_uint8(images))
        save_image(path, shown[0] if len(shown) == 1 else image_grid(shown, max(1, round(len(shown) ** 0.5))))
        print(f"{len(shown)} image{'s' * (len(shown) > 1)} of {shown.shape[1]}×{shown.shape[2]}: {path}")


def read(path: Path, channels: int) -> jax.Array:
    """An image file in [-1, 1], as a batch of one."""
    return normalise(jnp.asarray(read_image(path, channels))[None])


def sample(experiment: Experiment, args: list[str]) -> None:
    """Images of the training image's size, or of any other."""

    @dataclass(frozen=True)
    class Sample(Use):
        n: int = 16
        """How many."""
        size: tuple[int, int] | None = None
        """Height and width; default: those of the finest scale."""

    options = parse(Sample, args, f"{experiment.script} sample", sample.__doc__)
    model, state = options.model(experiment)
    if options.n < 1:
        raise ValueError(f"--n {options.n}: at least 1 is needed")
    draw = jax.jit(model.sample, static_argnums=(2, 3))
    options.write("samples", draw(state, jax.random.key(options.seed), options.n, options.size))


def refiner(name: str, doc: str, start: int) -> Callable[[Experiment, list[str]], None]:
    """The command of one of the uses that feed an image in at a scale."""

    @dataclass(frozen=True)
    class Refine(Use):
        input: Path | None = None
        """The image."""
        mask: Path | None = None
        """White where the image may change; its border is softened. Default: everywhere."""
        scale: int = start
        """The scale from which on the image is made anew, counted from the coarsest, 0; negative: from the finest."""

    def command(experiment: Experiment, args: list[str]) -> None:
        options = parse(Refine, args, f"{experiment.script} {name}", doc)
        model, state = options.model(experiment)
        if options.input is None:
            raise ValueError(f"--input: {name} needs an image")
        count = len(model.sizes)
        scale = options.scale + count * (options.scale < 0)
        if not 1 <= scale < count:
            raise ValueError(f"--scale {options.scale}: this run has the scales 1 to {count - 1} above the coarsest")
        image = read(options.input, model.shape[2])
        made = jax.jit(model.refine, static_argnums=3)(state, jax.random.key(options.seed), image, scale)
        if options.mask is not None:
            soft = softened(options.mask, made.shape[1:3])
            made = soft * made + (1 - soft) * resized(image, made.shape[1:3])
        options.write(name, made)

    return command


def softened(path: Path, size: tuple[int, int]) -> jax.Array:
    """A mask file as weights in [0, 1], its white part grown by a 32nd of the height and blurred at the border."""
    mask = Image.fromarray(read_image(path, 1)[..., 0])
    if mask.size[::-1] != size:
        print(f"{path}: resized from {mask.height}×{mask.width} to {size[0]}×{size[1]}")
        mask = mask.resize(size[::-1])
    grown = mask.filter(ImageFilter.MaxFilter(2 * (size[0] // 32) + 1))
    blurred = grown.filter(ImageFilter.GaussianBlur(size[0] / 40))
    return jnp.asarray(blurred, jnp.float32)[None, ..., None] / 255


def super_resolve(experiment: Experiment, args: list[str]) -> None:
    """An enlarged image, with detail such as the training image has."""

    @dataclass(frozen=True)
    class SuperResolve(Use):
        input: Path | None = None
        """The image; default: the training image at its finest scale."""
        factor: float = 4.0
        """How many times as large."""
        reference: Path | None = None
        """The same image in full, to compare with: by it and by bicubic interpolation figures are printed."""

    options = parse(SuperResolve, args, f"{experiment.script} super-resolve", super_resolve.__doc__)
    model, state = options.model(experiment)
    image = model.reconstruct(state) if options.input is None else read(options.input, model.shape[2])
    made = jax.jit(model.super_resolve, static_argnums=3)(state, jax.random.key(options.seed), image, options.factor)
    options.write("super-resolve", made)
    if options.reference is not None:
        size = made.shape[1:3]
        wanted = resized(read(options.reference, model.shape[2]), size)
        for name, found in {"SinGAN": made, "bicubic": jnp.clip(resized(image, size), -1, 1)}.items():
            figures = float(psnr(found, wanted)[0]), float(ssim(found, wanted)[0]), sifid(wanted, found)
            print("{:8} PSNR {:.2f} dB, SSIM {:.3f}, SIFID of patches {:.4f}".format(name, *figures))


def animate(experiment: Experiment, args: list[str]) -> None:
    """A video from the image, as a GIF."""

    @dataclass(frozen=True)
    class Animate(Use):
        frames: int = 30
        """How many."""
        alpha: float = 0.1
        """How strongly the noise is drawn back to that of the reconstruction, 0 to 1."""
        beta: float = 0.9
        """How smoothly it moves, 0 to 1."""
        start: int = 1
        """The first scale that moves."""

    options = parse(Animate, args, f"{experiment.script} animate", animate.__doc__)
    model, state = options.model(experiment)
    if options.frames < 2 or not 0 <= options.alpha <= 1 or not 0 <= options.beta <= 1:
        raise ValueError("--frames: at least 2 are needed; --alpha and --beta: 0 to 1 is allowed")
    key = jax.random.key(options.seed)
    frames = jax.jit(model.animate, static_argnums=(2, 5))(
        state, key, options.frames, options.alpha, options.beta, options.start
    )
    path = options.out or options.run / "animate.gif"
    save_animation(path, list(np.asarray(to_uint8(frames))), colours=128)
    print(f"{options.frames} frames: {path}")


experiment = Experiment(
    Path(__file__).stem,
    presets,
    build,
    evaluator,
    pictures,
    __doc__,
    commands={
        "sample": sample,
        "paint": refiner("paint", "A clipart as a picture of the training image's kind.", 2),
        "edit": refiner("edit", "An edited image without the seams.", -2),
        "harmonize": refiner("harmonize", "What was pasted in, in the style of the rest.", -2),
        "super-resolve": super_resolve,
        "animate": animate,
    },
)

if __name__ == "__main__":
    main(experiment)
