"""Self-attention of the pixels of an image."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.convolution import Conv
from jaxgen.layers.normalisation import SpectralNorm

__all__ = ["SelfAttention"]


class SelfAttention(nn.Module):
    """x + γ o(softmax(θ(x) φ(x)ᵀ) g(x)) (Zhang et al. 2019, section 3), with γ = 0 at first.

    As in BigGAN, θ and φ have an eighth of the channels and g a half, φ and g see the maxima of 2×2 pixels, and the
    four 1×1 convolutions are spectrally normalised.
    """

    kernel_init: Callable = nn.initializers.orthogonal()
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        if c < 8:
            raise ValueError(f"self-attention of {c} channels: at least 8 are needed")

        def project(x, features):
            layer = Conv(features, (1, 1), use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype)
            return SpectralNorm(layer)(x, train=train)

        def flat(x):
            return x.reshape(b, -1, x.shape[-1])

        def pooled(x):
            return flat(nn.max_pool(x, (2, 2), (2, 2)))

        query, key, value = flat(project(x, c // 8)), pooled(project(x, c // 8)), pooled(project(x, c // 2))
        attention = nn.softmax(jnp.einsum("bqc,bkc->bqk", query, key).astype(jnp.float32)).astype(value.dtype)
        attended = (attention @ value).reshape(b, h, w, c // 2)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return x + gamma.astype(x.dtype) * project(attended, c)
