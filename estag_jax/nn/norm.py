"""Batch normalisation that keeps the dtype of the data."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Batch normalisation (arXiv 1502.03167), over the windows of a batch and all axes but one.

    Training (the collection batch_stats is mutable) normalises by the statistics of the batch and keeps
    running ones, momentum 0.9, which are used everywhere else.

    Args:
      axis: the axis that keeps its own statistics; all others are averaged over.
    """

    axis: int = -1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises an array [B, ...]."""
        axis = self.axis % x.ndim
        others = tuple(a for a in range(x.ndim) if a != axis)
        width = (x.shape[axis],)
        scale = self.param("scale", nn.initializers.ones, width, x.dtype)
        bias = self.param("bias", nn.initializers.zeros, width, x.dtype)
        # flax's BatchNorm keeps float32 statistics, which a float64 model could not carry on.
        kept_mean = self.variable("batch_stats", "mean", jnp.zeros, width, x.dtype)
        kept_variance = self.variable("batch_stats", "variance", jnp.ones, width, x.dtype)
        mean, variance = kept_mean.value, kept_variance.value
        if self.is_mutable_collection("batch_stats"):
            mean, square = x.mean(others), (x**2).mean(others)
            variance = jnp.maximum(square - mean**2, 0)
            if not self.is_initializing():
                kept_mean.value = 0.9 * kept_mean.value + 0.1 * mean
                kept_variance.value = 0.9 * kept_variance.value + 0.1 * variance
        shape = [width[0] if a == axis else 1 for a in range(x.ndim)]
        gain = scale * jax.lax.rsqrt(variance + 1e-5)
        return (x - mean.reshape(shape)) * gain.reshape(shape) + bias.reshape(shape)
