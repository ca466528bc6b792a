"""The fit of error bars to a predictor's errors on validation windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv

from estag_jax.data.system import System
from estag_jax.models.error_bars import JOINT_UP_TO, PERCENTS, ErrorBars
from estag_jax.models.frames import choose_axes
from estag_jax.ops import linalg
from estag_jax.ops.error_bars import PARITY, log_likelihood, motion, turned_back
from estag_jax.ops.frames import local_frames

BLOCKS = 5
"""Blocks of validation time, each measured with the error bars of the others, that give the quantiles."""

AXES_FROM = 200
"""The most windows that the local frames are chosen from."""

SHRINKAGES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# A pseudo-window of isotropic errors, the precision of the exponents' prior, steps of their fit, and the
# decade by which the size of an error bar may leave the range of the validation windows.
_PRIOR, _STIFF, _STEPS, _BEYOND = 1.0, 10.0, 8, np.log(10.0)


def fit_error_bars(
    system: System, history: np.ndarray, forecast: np.ndarray, target: np.ndarray
) -> ErrorBars:
    """Error bars of a predictor from its forecasts of windows that it was not fitted to.

    S and l are second moments of the errors divided by sqrt(s), b maximises the likelihood, and the
    quantiles are those of distances that were measured in each block of time with the error bars of the
    other blocks: errors have heavy tails, and a later time may be harder. The joint covariance is drawn
    towards its blocks of single points, by the share under which either half of the windows is likeliest
    with the other's covariance.

    Args:
      system: the nodes.
      history: windows in the order of their time [W, N, T, C, 3].
      forecast: [W, N, C, 3].
      target: [W, N, C, 3].
    """
    history, forecast, target = (np.asarray(a, np.float64) for a in (history, forecast, target))
    windows, nodes, _, channels, _ = history.shape
    last = history[:, :, -1].reshape(windows, -1, 3)
    axes = np.array(choose_axes(system, last[:: -(-windows // AXES_FROM)])[0])
    invariants = motion(np, history, forecast)
    size = invariants.mean((1, 2, 3))
    floor = np.where(size > 0, 1e-4 * size, 1.0)
    logs = np.log(invariants + floor[:, None, None, None])
    frames = local_frames(np, *(last[:, which] for which in axes))
    errors = _Errors.of(target - forecast, frames, logs, np.spacing(np.float32(np.abs(last).max())))

    moments = errors.fit()
    distances = [errors.distances(held, kept) for held, kept in _blocks(windows)]
    quantiles = 2 * gammaincinv(3 / 2, PERCENTS)  # of chi squared in three dimensions
    if distances:
        quantiles = np.quantile(np.concatenate(distances), PERCENTS)
    factor = None
    if nodes * channels <= JOINT_UP_TO:
        factor = np.linalg.cholesky(errors.joint(moments, errors.shrinkage()))
    exponents = errors.exponents(moments)
    return ErrorBars(
        axes=axes,
        covariance=moments.covariance.reshape(nodes, channels, 3, 3),
        rest=moments.rest.reshape(nodes, channels),
        weights=moments.weights,
        centre=moments.centre.reshape(-1, nodes, channels),
        floor=floor,
        limits=np.array([exponents.min() - _BEYOND, exponents.max() + _BEYOND]),
        quantiles=quantiles,
        factor=factor,
    )


def _blocks(windows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the windows of each block, and of those outside it; none where there is one window."""
    every = np.arange(windows)
    parts = np.array_split(every, min(BLOCKS, windows)) if windows > 1 else []
    return [(part, np.setdiff1d(every, part)) for part in parts]


class _Moments(NamedTuple):
    """S [P, 3, 3], l [P], b [K] and c [K, P, 1]."""

    covariance: np.ndarray
    rest: np.ndarray
    weights: np.ndarray
    centre: np.ndarray


class _Errors(NamedTuple):
    """Errors of P points in W windows.

    Args:
      seen: u = R e [P, W, 3].
      beside: e^T (I - R^T R) e [P, W].
      gain: the diagonal of R R^T, 1 or fading to 0 [P, W, 3].
      logs: log a [K, P, W].
      least: the smallest variance that the data's own rounding allows.
      raw: e [P, W, 3].
      frames: R [P, W, 3, 3].
    """

    seen: np.ndarray
    beside: np.ndarray
    gain: np.ndarray
    logs: np.ndarray
    least: float
    raw: np.ndarray
    frames: np.ndarray

    @classmethod
    def of(cls, error: np.ndarray, frames: np.ndarray, logs: np.ndarray, spacing: float) -> _Errors:
        """From e [W, N, C, 3], R [W, N, 3, 3], log a [K, W, N, C] and the distance of two numbers."""
        windows, channels = len(error), error.shape[2]
        error = np.ascontiguousarray(np.swapaxes(error.reshape(windows, -1, 3), 0, 1))
        frames = np.swapaxes(np.repeat(frames, channels, axis=1), 0, 1)
        seen = np.matmul(frames, error[..., None])[..., 0]
        beside = np.maximum(np.sum(error**2, -1) - np.sum(seen**2, -1), 0.0)
        gain = np.sum(frames**2, -1)
        logs = np.swapaxes(logs.reshape(len(logs), windows, -1), 1, 2)
        return cls(seen, beside, gain, logs, float(spacing) ** 2, error, frames)

    def at(self, which: np.ndarray) -> _Errors:
        """Those of some windows."""
        return self._replace(
            logs=self.logs[:, :, which],
            **{n: getattr(self, n)[:, which] for n in ("seen", "beside", "gain", "raw", "frames")},
        )

    def exponents(self, moments: _Moments) -> np.ndarray:
        """log s [P, W]."""
        return np.tensordot(moments.weights, self.logs - moments.centre, axes=1)

    def fit(self) -> _Moments:
        """S, l and b in turns: moments for given b, then a Newton step of b for given moments.

        With q the squared distance at s = 1, -2 log likelihood = Σ q exp(-g) + 3 g for g = log s; it is
        convex in b.
        """
        centre = self.logs.mean(-1, keepdims=True)
        deviations, weights = self.logs - centre, np.zeros(len(self.logs))
        flat = deviations.reshape(len(weights), -1)
        covariance, rest = self._moments(np.ones(self.beside.shape))
        for _ in range(_STEPS):
            root = np.linalg.cholesky(np.linalg.inv(covariance))
            q = np.sum(np.matmul(self.seen, root) ** 2, -1) + self.beside / rest[:, None]
            ratio = (q * np.exp(-np.tensordot(weights, deviations, axes=1))).ravel()
            slope = flat @ (3 - ratio) + _STIFF * weights
            # At the optimum the ratio is 3 on average; the expected curvature keeps steps short.
            bend = flat * np.maximum(ratio, 3.0) @ flat.T + _STIFF * np.eye(len(weights))
            weights = weights - np.linalg.solve(bend, slope)
            size = np.exp(-np.tensordot(weights, deviations, axes=1))
            covariance, rest = self._moments(size)
        return _Moments(covariance, rest, weights, centre)

    def distances(self, held: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """e^T Σ^{-1} e of some windows with the error bars of others, of all points in one row."""
        moments, errors = self.at(kept).fit(), self.at(held)
        size = np.exp(errors.exponents(moments))
        covariance = turned_back(
            linalg.NUMPY, errors.frames, moments.covariance[:, None], moments.rest[:, None]
        )
        return log_likelihood(errors.raw, size[..., None, None] * covariance)[0].ravel()

    def joint(self, moments: _Moments, shrinkage: float) -> np.ndarray:
        """The covariance of all components in the frames [3P, 3P]; its blocks of points are S."""
        points, windows, _ = self.seen.shape
        seen = self.seen * np.exp(-0.5 * self.exponents(moments))[..., None]
        flat = np.swapaxes(seen, 0, 1).reshape(windows, -1)
        count = (np.sum(self.gain**2, axis=1) + _PRIOR).ravel()
        found = (flat.T @ flat) / np.sqrt(count[:, None] * count)
        # The same entries are odd under reflection between all points as within one.
        found = (1 - shrinkage) * found * np.tile(PARITY, (points, points))
        for p in range(points):
            block = slice(3 * p, 3 * p + 3)
            found[block, block] = moments.covariance[p]
        return found

    def shrinkage(self) -> float:
        """The share of the single points' blocks under which halves of the windows predict each other."""
        points, windows, _ = self.seen.shape
        cost = np.zeros(len(SHRINKAGES))
        for held in np.array_split(np.arange(windows), 2):
            kept, rest = self.at(np.setdiff1d(np.arange(windows), held)), self.at(held)
            if not rest.seen.size or not kept.seen.size:
                return 1.0
            moments = kept.fit()
            inverse = np.linalg.inv(np.linalg.cholesky(moments.covariance))
            seen = np.matmul(rest.seen, np.swapaxes(inverse, -1, -2))
            seen = seen * np.exp(-0.5 * rest.exponents(moments))[..., None]
            whitened = kept.joint(moments, 0.0).reshape(points, 3, points, 3)
            whitened = np.einsum("pij,pjqk,qlk->piql", inverse, whitened, inverse, optimize=True)
            values, vectors = np.linalg.eigh(whitened.reshape(3 * points, -1))
            square = (np.swapaxes(seen, 0, 1).reshape(len(held), -1) @ vectors) ** 2
            for i, share in enumerate(SHRINKAGES):
                drawn = (1 - share) * np.maximum(values, 0.0) + share + 1e-12
                cost[i] += np.sum(square / drawn) + len(held) * np.sum(np.log(drawn))
        return SHRINKAGES[int(np.argmin(cost))]

    def _moments(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S and l of errors whose squares are weighted [P, W], with a pseudo-window of isotropic ones."""
        windows = weight.shape[1]
        total = np.sum(weight * np.sum(self.raw**2, -1), axis=1) / (3 * windows) + self.least
        raw = np.matmul(np.swapaxes(self.seen * weight[..., None], -1, -2), self.seen) * PARITY
        raw += (_PRIOR * total[:, None, None] + windows * self.least) * np.eye(3)
        count = np.sqrt(np.sum(self.gain**2, axis=1) + _PRIOR)
        covariance = raw / (count[:, :, None] * count[:, None, :])
        missing = np.sum(3 - np.sum(self.gain, -1), axis=1)
        rest = np.sum(weight * self.beside, axis=1) + _PRIOR * total
        return covariance, rest / (np.maximum(missing, 0.0) + _PRIOR)
