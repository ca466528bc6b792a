"""Error bars of any predictor: a Gaussian in local frames, fitted to its errors on validation windows."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg
from estag_jax.ops.error_bars import (
    lost,
    motion,
    root_of_lost,
    turned_back,
)
from estag_jax.ops.frames import local_frames

LEVEL = 0.9
"""Of the region that tables and figures speak of."""

JOINT_UP_TO = 128
"""Points up to which the covariance of all of them together is fitted."""

PERCENTS = np.arange(1, 100) / 100
"""Of the quantiles that are kept."""


class Distribution(NamedTuple):
    """What is known of the next frame.

    Args:
      mean: the forecast [..., N, C, 3].
      covariance: of each point [..., N, C, 3, 3]; of all components together [..., 3NC, 3NC] where the
        joint one was asked for, components in the order of ``mean``.
      radius: r: the truth of a point is in {x: (x - mean)^T Σ^{-1} (x - mean) <= r²}, Σ the point's
        covariance, with a probability of LEVEL.
    """

    mean: Array
    covariance: Array
    radius: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ErrorBars:
    """The covariance of a predictor's errors, which turns with the data: a pytree of arrays.

        Σ_p = s_p (R_n^T S_p R_n + l_p (I - R_n^T R_n)),  s_p = exp(Σ_k b_k (log a_kp - c_kp))

    for point p (channel c of node n) with the local frame R_n at the last frame of the window. S_p has no
    entry between the third component, a pseudo-scalar, and the others, so Σ is exact in O(3). l_p is the
    variance along the axes that a degenerate frame lacks: of one node all, of two nodes those across
    their line. a_k are the invariants of ops.error_bars.motion: errors grow where the forecast bends.

    Args:
      axes: the points of the frames [3, N].
      covariance: S [N, C, 3, 3].
      rest: l [N, C].
      weights: b [K].
      centre: c [K, N, C].
      floor: what is added to a_k before the logarithm [K].
      limits: the least and the largest log s [2].
      quantiles: of the squared distances e^T Σ^{-1} e at 1, 2 … 99 % [99].
      factor: the lower Cholesky factor of all components' covariance in the frames [3NC, 3NC]; None for
        more than JOINT_UP_TO points.
    """

    axes: Array
    covariance: Array
    rest: Array
    weights: Array
    centre: Array
    floor: Array
    limits: Array
    quantiles: Array
    factor: Array | None = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, for a file."""
        fields = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: np.asarray(value) for name, value in fields if value is not None}

    def distribution(self, history: Array, forecast: Array, joint: bool = False) -> Distribution:
        """The distribution of the next frame; pure.

        Args:
          history: [B, N, T, C, 3].
          forecast: the predictor's [B, N, C, 3].
          joint: of all components together, in place of each point's.

        Raises:
          ValueError: the system has too many points for a joint covariance.
        """
        backend, history = linalg.backend_of(history)
        xp, _, matmul = backend
        forecast = xp.asarray(forecast, history.dtype)
        frames, scale = self._frames(backend, history), self._scale(backend, history, forecast)
        if not joint:
            covariance = self._by_point(backend, frames, scale)
            return Distribution(forecast, covariance, self.radius(LEVEL))
        batch, points = len(history), scale[0].size
        size = xp.sqrt(scale)[..., None, None]
        # [B, p, j, q, i]: the factor's rows of point p turned into the axes of the data.
        factor = xp.asarray(self._joint(), history.dtype).reshape(points, 3, 3 * points)
        turned = xp.swapaxes(size * frames, -1, -2).reshape(batch, points, 3, 3)
        root = matmul(turned, factor).reshape(batch, 3 * points, 3 * points)
        rest = (scale * xp.asarray(self.rest, history.dtype))[..., None, None] * lost(
            backend, frames
        )
        blocks = xp.eye(points, dtype=history.dtype)[:, None, :, None] * rest.reshape(
            batch, points, 3, 1, 3
        )
        covariance = matmul(root, xp.swapaxes(root, -1, -2)) + blocks.reshape(root.shape)
        return Distribution(forecast, covariance, self.radius(LEVEL))

    def draw(self, history: Array, forecast: Array, noise: Array) -> Array:
        """Forecast plus errors drawn from the joint covariance, or, without one, each point's.

        Args:
          history: [B, N, T, C, 3].
          forecast: [B, N, C, 3].
          noise: standard normal numbers [B, N, C, 6]: three in the frames, three along what they lack.

        Returns:
          [B, N, C, 3]; turns with the history for the same numbers.
        """
        backend, history = linalg.backend_of(history)
        xp, _, matmul = backend
        frames = self._frames(backend, history)
        scale = self._scale(backend, history, forecast)[..., None]
        inside = noise[..., :3]
        if self.factor is None:
            root = xp.linalg.cholesky(xp.asarray(self.covariance, history.dtype))
            inside = matmul(root, inside[..., None])[..., 0]
        else:
            root = xp.asarray(self.factor, history.dtype)
            inside = matmul(inside.reshape(len(history), -1), root.T).reshape(inside.shape)
        turned = matmul(inside[..., None, :], frames)[..., 0, :]
        beside = matmul(noise[..., None, 3:], root_of_lost(backend, frames))[..., 0, :]
        rest = xp.asarray(self.rest, history.dtype)[..., None]
        return forecast + xp.sqrt(scale) * (turned + xp.sqrt(rest) * beside)

    def radius(self, level: float) -> Array:
        """r of the region of a probability between 0.01 and 0.99, see Distribution."""
        xp = jnp if isinstance(self.quantiles, jax.Array) else np
        return xp.sqrt(xp.interp(level, PERCENTS, self.quantiles))

    def _joint(self) -> Array:
        if self.factor is None:
            raise ValueError(
                f"{self.rest.size} points are too many for a joint covariance, which is fitted up to "
                f"{JOINT_UP_TO}; ask for joint=False"
            )
        return self.factor

    def _by_point(self, backend: linalg.Backend, frames: Array, scale: Array) -> Array:
        xp = backend.xp
        covariance, rest = (xp.asarray(a, frames.dtype) for a in (self.covariance, self.rest))
        return scale[..., None, None] * turned_back(backend, frames, covariance, rest)

    def _frames(self, backend: linalg.Backend, history: Array) -> Array:
        """R, the same for all channels of a node [B, N, C, 3, 3]."""
        xp, channels = backend.xp, history.shape[3]
        points = history[:, :, -1].reshape(len(history), -1, 3)
        frames = local_frames(xp, *(points[:, which] for which in self.axes))[:, :, None]
        return xp.broadcast_to(frames, (*frames.shape[:2], channels, 3, 3))

    def _scale(self, backend: linalg.Backend, history: Array, forecast: Array) -> Array:
        """s [B, N, C]."""
        xp, einsum = backend.xp, backend.einsum
        invariants = motion(xp, history, forecast)
        weights, centre, floor, limits = (
            xp.asarray(a, history.dtype)
            for a in (self.weights, self.centre, self.floor, self.limits)
        )
        logs = xp.log(invariants + floor[:, None, None, None]) - centre[:, None]
        return xp.exp(xp.clip(einsum("kbnc,k->bnc", logs, weights), limits[0], limits[1]))
