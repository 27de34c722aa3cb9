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
    """Computes x + γ o(softmax(θ(x) φ(x)ᵀ) g(x)) (Zhang et al. 2019, section 3), where γ starts at 0.

    As in BigGAN, θ and φ have an eighth of the channels and g a half, φ and g see the maxima of 2×2 pixels, and the
    four 1×1 convolutions are spectrally normalised. Maps images (b, h, w, c) to the same shape. Raises ValueError for
    fewer than 8 channels.
    """

    kernel_init: Callable = nn.initializers.orthogonal()
    """The initialiser of the four convolutions."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

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
