"""Normalising flows, trained by exact maximum likelihood: RealNVP (Dinh et al. 2017), Glow (Kingma & Dhariwal 2018),
neural spline flows (Durkan et al. 2019).

    flow = NormalizingFlow(Glow((32, 32, 3)), optax.adamax(1e-3))
    state = flow.init(jax.random.key(0), batch)
    step = jax.jit(flow.step, donate_argnums=0)
    state, metrics = step(state, batch)
    images = flow.sample(state, jax.random.key(1), 64, temperature=0.7)
    bits = flow.bits_per_dim(state, jax.random.key(2), batch)
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.layers.bijectors import logit
from jaxgen.losses.variational import standard_normal_log_prob
from jaxgen.models.average import moving_average
from jaxgen.networks.calls import check_network, train_flag
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data
from jaxgen.types import Batch, Label, Metrics

__all__ = ["FlowState", "NormalizingFlow"]


Images = Float[Array, "b ..."]


class FlowState(struct.PyTreeNode):
    """Everything that is needed to go on with the training."""

    step: Any
    """The number of steps taken, an int32 scalar; Any because tree transformations put other leaves here."""
    key: Any
    """The key of the next step."""
    params: dict[str, Any]
    """The parameters of `network` and, where there is one, of `dequantiser`."""
    optimiser: optax.OptState
    average: dict[str, Any] | None
    """The moving average of `params`, or None."""


class _Likelihood(NamedTuple):
    log_prob: Float[Array, "b"]
    """log p(x) of float examples; log p(x + u) - log q(u | x) of uint8 images with a draw u of the noise."""
    log_det: Float[Array, "b"]
    collected: dict[str, Any]
    """What the networks put into the collection that was asked for."""


@dataclass(frozen=True)
class NormalizingFlow:
    """p(x) = N(z; 0, I) |det ∂z/∂x|, z by an invertible network.

    Images that come as uint8 are quantised to 2^`bits` levels, and get noise within a level, so that the density bounds
    their probability (Theis et al. 2016); float examples, such as points, are continuous and get none.

    At step 0 the network's normalisations are set by that step's batch; `init` reads shapes only. The networks have
    parameters but no batch statistics. Those with dropout take the argument `train`, see `jaxgen.networks.calls`.
    """

    network: nn.Module
    """A flow as in `jaxgen.networks`: (x, label) -> z (b, d) and its log-determinant (b,), (z, label, True) -> x and
    that of the inverse; it has fields `shape` and `classes`, and reports finite layers to the collection `finite`."""
    optimiser: optax.GradientTransformation
    dequantiser: nn.Module | None = None
    """(noise, image) -> noise in a level and its log-determinant (Ho et al. 2019); None means uniform noise."""
    bits: int = 8
    """The bits of a pixel value: 8, or 5 as for Glow on larger images."""
    alpha: float = 0.0
    """The flow sees logit(α + (1 - 2α) u) of pixels u in [0, 1]; RealNVP's α is 0.05. With 0 it sees u in [-1, 1]."""
    classes: int = 0
    """The number of labels 0, 1, …, which condition the network; 0 means unconditional."""
    ema: float = 0.0
    """The decay of a `moving_average` of the parameters, which all methods but `step` then use; 0 means none."""

    def __post_init__(self) -> None:
        check_network("network", self.network)
        if self.dequantiser is not None:
            check_network("dequantiser", self.dequantiser)
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits={self.bits}: 1 to 8 are allowed")
        if not 0 <= self.alpha < 0.5:
            raise ValueError(f"alpha={self.alpha}: at least 0 and less than 0.5 is allowed")
        if self.classes != self.network.classes:
            raise ValueError(f"classes={self.classes}, but the network has {self.network.classes}")

    def init(self, key: Key[Array, ""], batch: Batch) -> FlowState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the network is for examples of another shape.
        """
        key, network_key, dequantiser_key = jax.random.split(key, 3)
        shape = tuple(batch["image"].shape[1:])
        if shape != tuple(self.network.shape):
            raise ValueError(f"the network is for examples of shape {tuple(self.network.shape)}, not {shape}")
        x, label = jnp.zeros((1, *shape)), jnp.zeros(1, jnp.int32) if self.classes else None
        params = {"network": _init(self.network, network_key, x, label)}
        if self.dequantiser:
            params["dequantiser"] = _init(self.dequantiser, dequantiser_key, x, x)
        average = jax.tree.map(jnp.copy, params) if self.ema else None
        return FlowState(jnp.int32(0), key, params, self.optimiser.init(params), average)

    def step(self, state: FlowState, batch: Batch) -> tuple[FlowState, Metrics]:
        """Descends -log p(x): in bits per dimension of uint8 images, in nats of continuous examples.

        The metrics are `loss`; `log_det`, in nats; `gradient_norm`; and `finite_layers`, the number of layers before
        the first whose output or log-determinant is not finite (see `blame`).
        """
        dropout_key = jax.random.fold_in(state.key, 3)  # the split in three takes the numbers 0 to 2
        key, first_key, step_key = jax.random.split(state.key, 3)
        state = jax.lax.cond(
            state.step == 0, lambda state: self.normalised(state, first_key, batch), lambda state: state, state
        )
        (loss, metrics), gradient = jax.value_and_grad(self.loss, has_aux=True)(
            state.params, step_key, batch, dropout_key
        )
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        average = moving_average(state.average, params, self.ema, state.step) if self.ema else None
        metrics |= {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        return FlowState(state.step + 1, key, params, optimiser, average), metrics

    def loss(
        self, params: dict[str, Any], key: Key[Array, ""], batch: Batch, dropout_key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns the loss of one step, and metrics; a hook for subclasses."""
        found = self._likelihood(params, key, batch, "finite", dropout_key)
        flags = jnp.stack(list(_by_layer(found.collected).values()))
        good = jnp.cumprod(flags.astype(jnp.float32)).sum()
        value = -found.log_prob.mean() / self._unit(batch["image"])
        return value, {"log_det": found.log_det.mean(), "finite_layers": good}

    def normalised(self, state: FlowState, key: Key[Array, ""], batch: Batch) -> FlowState:
        """Returns the state with the scales and biases that give every channel of the batch mean 0 and variance 1
        where the network normalises; the first step begins with this."""
        params = self._likelihood(state.params, key, batch, "params").collected
        return state.replace(params=params, average=jax.tree.map(jnp.copy, params) if self.ema else None)

    def blame(self, metrics: Mapping[str, float]) -> str:
        """Names the first layer whose output or log-determinant was not finite; returns "" where all were finite."""
        image = jax.ShapeDtypeStruct((1, *self.network.shape), jnp.uint8 if self.dequantiser else jnp.float32)
        batch = {"image": image, "label": jax.ShapeDtypeStruct((1,), jnp.int32)}

        def layers(key, batch):
            return _by_layer(self._likelihood(self.init(key, batch).params, key, batch, "finite").collected)

        with jax.debug_key_reuse(False):  # abstract: nothing is drawn
            names = sorted(jax.eval_shape(layers, jax.random.key(0), batch), key=_natural)
        good = int(metrics["finite_layers"])
        return f"the first layer that is not finite is {names[good]}" if good < len(names) else ""

    def log_prob(self, state: FlowState, x: Array, label: Label = None) -> Float[Array, "b"]:
        """Returns log p(x) in nats, the density over examples in [-1, 1].

        A uint8 pixel counts as the centre of its level.
        """
        z, log_det, _ = self._flow(self._evaluated(state), self._continuous(x), label)
        return standard_normal_log_prob(z) + log_det

    def bits_per_dim(self, state: FlowState, key: Key[Array, ""], batch: Batch, draws: int = 1) -> Float[Array, "b"]:
        """Returns an upper bound of -log₂ P(image) / (h w c), P over the 2^bits levels, by draws of the noise in them.

        In expectation it falls to the true value as the number of draws rises (Burda et al. 2016). ValueError for float
        images.
        """
        if draws < 1:
            raise ValueError(f"draws={draws}: at least 1 is needed")
        if jnp.issubdtype(batch["image"].dtype, jnp.floating):
            raise ValueError("float examples are continuous and have no bits per dimension: use log_prob")
        params = self._evaluated(state)
        keys = jax.random.split(key, draws)
        log_weight = jax.lax.map(lambda key: self._likelihood(params, key, batch).log_prob, keys)
        return -(jax.nn.logsumexp(log_weight, axis=0) - math.log(draws)) / self._unit(batch["image"])

    def encode(self, state: FlowState, image: Array, label: Label = None) -> Float[Array, "b z"]:
        """Returns the latents z of images, one for each value; a uint8 pixel counts as the centre of its level."""
        return self._flow(self._evaluated(state), self._continuous(image), label)[0]

    def decode(self, state: FlowState, z: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """Returns the examples of latents: the inverse of `encode`. Images may leave [-1, 1] where z is unlikely."""
        variables = {"params": self._evaluated(state)["network"]}
        x, _ = self.network.apply(variables, z, label, True, **train_flag(self.network, False))
        return logit(x, self.alpha, inverse=True)[0] if self.alpha else x

    def sample(
        self,
        state: FlowState,
        key: Key[Array, ""],
        n: int,
        label: Label = None,
        *,
        temperature: float | Float[Array, ""] = 1.0,
    ) -> Float[Array, "n ..."]:
        """Returns decoded draws of N(0, temperature² I), images clipped to [-1, 1].

        A conditional model without labels goes through its classes in turn.
        """
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        z = along_data(jax.random.normal(key, (n, math.prod(self.network.shape))))
        x = self.decode(state, z * temperature, label)
        return jnp.clip(x, -1, 1) if x.ndim == 4 else x

    def classify(
        self, state: FlowState, image: Array, log_prior: Float[Array, "k"] | None = None
    ) -> Float[Array, "b k"]:
        """Returns log p(y | x) of each class by Bayes' rule, p(y | x) ∝ p(x | y) p(y).

        Without `log_prior` the classes are equally likely. ValueError for an unconditional model.
        """
        if not self.classes:
            raise ValueError("classes=0: only a conditional flow classifies")

        def joint(label):
            return self.log_prob(state, image, jnp.full(len(image), label))

        log_joint = jax.lax.map(joint, jnp.arange(self.classes, dtype=jnp.int32)).T
        return jax.nn.log_softmax(log_joint if log_prior is None else log_joint + log_prior, axis=-1)

    # ---- Parts

    def _unit(self, image: Array | np.ndarray) -> float:
        """Nats in the unit of the loss."""
        return 1.0 if jnp.issubdtype(image.dtype, jnp.floating) else math.log(2) * math.prod(image.shape[1:])

    def _likelihood(
        self,
        params: dict[str, Any],
        key: Key[Array, ""],
        batch: Batch,
        collection: str = "",
        dropout_key: Key[Array, ""] | None = None,
    ) -> _Likelihood:
        """The likelihood of a batch; in training where a key for dropout is given."""
        image, label = jnp.asarray(batch["image"]), batch["label"] if self.classes else None
        x, log_q, made = self._continuous(image), 0.0, {}
        if not jnp.issubdtype(image.dtype, jnp.floating):
            width = 2 / 2**self.bits
            if self.dequantiser:
                noise = along_data(jax.random.normal(key, x.shape))
                own_key = None if dropout_key is None else jax.random.fold_in(dropout_key, 0)
                (u, log_det), collected = _apply(
                    self.dequantiser, params["dequantiser"], noise, normalise(image), collection=collection, key=own_key
                )
                log_q = standard_normal_log_prob(noise.reshape(len(noise), -1)) - log_det
                made = {"dequantiser": collected}
            else:
                u = along_data(jax.random.uniform(key, x.shape))
            x = x + width * (u - 0.5)
            log_q -= x[0].size * math.log(width)
        z, log_det, collected = self._flow(params, x, label, collection, dropout_key)
        return _Likelihood(standard_normal_log_prob(z) + log_det - log_q, log_det, made | {"network": collected})

    def _continuous(self, image: Array) -> Array:
        """Float examples as they are; uint8 pixels as the centre of their level in [-1, 1]."""
        if jnp.issubdtype(image.dtype, jnp.floating):
            return image
        level = (image >> (8 - self.bits)).astype(jnp.float32)
        return (2 * level + 1) / 2**self.bits - 1

    def _flow(
        self, params: dict[str, Any], x: Array, label: Label, collection: str = "", key: Key[Array, ""] | None = None
    ) -> tuple[Array, Array, Any]:
        y, before = logit(x, self.alpha) if self.alpha else (x, 0.0)
        (z, log_det), made = _apply(self.network, params["network"], y, label, collection=collection, key=key)
        return z, log_det + before, made

    def _evaluated(self, state: FlowState) -> dict[str, Any]:
        return state.params if state.average is None else state.average


def _init(network: nn.Module, key: Key[Array, ""], *inputs: Array | None) -> dict[str, Any]:
    variables: Any = network.init({"params": key}, *inputs, mutable=["params"], **train_flag(network, False))
    return variables["params"]


def _apply(
    network: nn.Module, params: dict[str, Any], *inputs: Array | None, collection: str, key: Key[Array, ""] | None
) -> tuple[tuple[Array, Array], Any]:
    """The network's output, and what it puts into the collection; in training where a key is given."""
    output, made = network.apply(
        {"params": params},
        *inputs,
        **train_flag(network, key is not None),
        mutable=[collection] if collection else [],
        rngs={} if key is None else {"dropout": key},
    )
    return output, made.get(collection)


def _by_layer(finite: dict[str, Any]) -> dict[str, Array]:
    """What the collection `finite` says about each layer; the layers of a loop one by one."""
    flags = {}
    for path, flag in jax.tree_util.tree_leaves_with_path(finite):
        name = "/".join(part.key for part in path[:-1])
        flags |= {name.replace("/step/", f"/step_{i}/"): one for i, one in enumerate(flag if flag.ndim else [flag])}
    return {name: flags[name] for name in sorted(flags, key=_natural)}


def _natural(name: str) -> list[str | int]:
    """A key that sorts step_2 before step_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
