"""Linear layers and perceptrons, with inputs in parts that are multiplied where it is cheap.

Parameters take the dtype of the data, so a float64 history gives a float64 model; those of bfloat16
features are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.nn.config import Activation
from estag_jax.ops.linalg import flat, matmul


@jax.custom_jvp
def silu(x: jax.Array) -> jax.Array:
    """x σ(x). Its derivative σ + y (1 - σ), y the result, needs no second exponential."""
    return x * jax.nn.sigmoid(x)


@silu.defjvp
def _silu_jvp(primals, tangents):
    (x,), (slope,) = primals, tangents
    sigmoid = jax.nn.sigmoid(x)
    y = x * sigmoid
    return y, (sigmoid + y * (1 - sigmoid)) * slope


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": silu,
    "leaky_relu": partial(nn.leaky_relu, negative_slope=0.2),
}

# Uniform on ±1/sqrt(inputs): variance 1/(3 inputs).
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# Xavier-uniform with gain 1e-3 (variance 2 gain² / (inputs + outputs)): at the start coordinates hardly move.
_almost_zero = nn.initializers.variance_scaling(1e-6, "fan_avg", "uniform")


def uniform(bound: float) -> Callable[..., jax.Array]:
    """The initializer that draws from ±bound."""
    return partial(jax.random.uniform, minval=-bound, maxval=bound)


Lift = Callable[[jax.Array], jax.Array]
"""From the axes on which a part of an input is given to the axes of the output."""

Part = jax.Array | tuple[jax.Array, Lift]


def every_frame(values: jax.Array) -> jax.Array:
    """Values [B, N, ...] that are the same in every frame, with an axis for the frames."""
    return values[:, :, None]


WIDE = 128
"""Outputs from which a bias is multiplied with the rest."""


class Linear(nn.Module):
    """Affine map of the last axis, weights and bias uniform on ±1/sqrt(inputs) at the start.

    The input may be given in parts, as if concatenated. A part with a lift is multiplied where it is
    cheap and lifted afterwards: node features are mapped before they are gathered to the edges,
    static edge features before they are repeated over the frames.

    Args:
      features: size of the output's last axis.
      small: Xavier-uniform weights with gain 1e-3 and no bias: the last layer of coordinate networks.
    """

    features: int
    small: bool = False

    @nn.compact
    def __call__(self, *parts: Part) -> jax.Array:
        """Maps [..., inputs] to [..., features] in the dtype of the first part.

        Args:
          *parts: arrays, or pairs of array and lift, whose last axes are the pieces of the input.
        """
        pairs = [part if isinstance(part, tuple) else (part, lambda x: x) for part in parts]
        widths = [x.shape[-1] for x, _ in pairs]
        dtype = pairs[0][0].dtype
        kernel, bias = affine(self, sum(widths), self.features, dtype, self.small)
        if bias is not None and bias.dtype == dtype and self.features >= WIDE and len(parts) == 1:
            # As weights of an input that is one, a bias has a gradient that is part of a product. XLA's CPU
            # backend takes several times longer for a sum over many wide rows.
            (x, lift), kernel, bias = pairs[0], jnp.concatenate([kernel, bias[None]]), None
            pairs = [(jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1), lift)]
            widths = [len(kernel)]
        out, row = 0, 0
        for (x, lift), width in zip(pairs, widths, strict=True):
            product = matmul(flat(x), kernel[row : row + width].astype(x.dtype))
            out = out + lift(product.reshape(*x.shape[:-1], self.features))
            row += width
        return (out if bias is None else out + bias).astype(dtype)


def affine(
    module: nn.Module, inputs: int, features: int, dtype: jnp.dtype, small: bool = False
) -> tuple[jax.Array, jax.Array | None]:
    """Kernel [inputs, features] and bias [features] of a module, with the initial values of Linear."""
    dtype = jnp.promote_types(dtype, jnp.float32)  # of bfloat16 features, too
    initializer = _almost_zero if small else uniform_fan_in
    if inputs == 0 or features == 0:
        initializer = nn.initializers.zeros  # the others divide by the size
    kernel = module.param("kernel", initializer, (inputs, features), dtype)
    if small:
        return kernel, None
    return kernel, module.param("bias", uniform(max(inputs, 1) ** -0.5), (features,), dtype)


class MLP(nn.Module):
    """Perceptron: linear layers with the activation between them.

    Args:
      widths: size of each layer's output.
      activation: name in ACTIVATIONS.
      activate_final: apply it after the last layer as well.
      small_final: the last layer is ``Linear(small=True)``.
    """

    widths: Sequence[int]
    activation: Activation = "silu"
    activate_final: bool = False
    small_final: bool = False

    @nn.compact
    def __call__(self, *parts: Part) -> jax.Array:
        """Maps [..., inputs], in one or several parts as for Linear, to [..., widths[-1]]."""
        last = len(self.widths) - 1
        for i, width in enumerate(self.widths):
            layer = Linear(width, small=self.small_final and i == last, name=f"layer_{i}")
            x = layer(*parts)
            if i == 0:
                axes, x = x.shape[:-1], flat(x)
            if i < last or self.activate_final:
                x = ACTIVATIONS[self.activation](x)
            parts = (x,)
        return x.reshape(*axes, self.widths[-1])
