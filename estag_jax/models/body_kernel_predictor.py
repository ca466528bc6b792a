"""What a fit of body kernel gives: a linear forecast in the frame of the body, and what kernels add."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import numpy as np

from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, Predictor
from estag_jax.models.body_ridge import BodyPredictor
from estag_jax.npz import part_of
from estag_jax.ops import linalg

LINEAR = "linear/"
"""Prefix of the linear part's arrays in a file."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class BodyKernelPredictor(Predictor):
    """A linear forecast in the frame of a body, and what kernels add to it.

        x* = linear + R^T sum_h (Y_h(z) + mirrored Y_h(mirrored z))
        Y_h(z) = sum_s exp(-|A_h (z - z_s)|² / 2) α_hs

    over heads h, one for each group of nodes and kind of metric, and samples s, the mirror images of
    windows among them. A is the metric's map (ops.metric_kernels); only A^T A is kept, which is a product
    over lags, points and axes. The second term in the sum is there if the fit used mirror images; groups
    then are of one side, and of the trunk, whose α are halved. The linear part of the kernels is collapsed
    into ``linear``, since its coefficients cancel.

    Args:
      linear: the linear part.
      windows: what is seen of the samples, less ``mean`` [S, T, N*C, 3], without mirror images.
      mean: of what is seen [T, N*C, 3].
      lags: A^T A over lags, the sizes of lags and of the metric in it [H, T, T].
      points: over points [H, N*C, N*C].
      axes: over axes [H, 3].
      norms: |A z_s|² of samples and their mirror images [H, S or 2S].
      alpha: α [H, S or 2S, K], K at least three times the nodes of a group.
      outputs: which of the 3*N*C coordinates these are, 3*N*C for none [H, K].
      others: how many samples are of another tempo.
    """

    compiled: ClassVar[bool] = True

    linear: BodyPredictor
    windows: Array
    mean: Array
    lags: Array
    points: Array
    axes: Array
    norms: Array
    alpha: Array
    outputs: Array
    others: Array = dataclasses.field(default_factory=lambda: np.array(0))

    @property
    def parameters(self) -> int:
        arrays = self.alpha, self.lags, self.points, self.axes
        return sum(np.size(array) for array in arrays)

    @property
    def chosen(self) -> dict[str, Any]:
        samples = {"samples": int(np.shape(self.norms)[1])}
        others = {"of another tempo": int(self.others)} if np.any(self.others) else {}
        return self.linear.chosen | samples | others

    @property
    def vectors(self) -> tuple[str, ...]:
        return self.linear.vectors

    def predict(self, history: Array, inputs: Any = None) -> Array:
        backend, windows, frames, z = self.linear.seen(history, inputs)
        mean = backend.xp.asarray(self.mean, z.dtype)
        step = self.linear.step(backend, z) + self._added(backend, z - mean)
        frame = self.linear.forecast(backend, windows, frames, step)
        return frame.reshape(*np.shape(history)[:-4], *frame.shape[1:])

    def _added(self, backend: linalg.Backend, z: Array) -> Array:
        """sum_h (Y_h(z) + mirrored Y_h(mirrored z)) [B, N*C, 3]."""
        xp, einsum, matmul = backend
        mirrored, count = self.linear.frames.mirrored, len(z)
        windows = xp.asarray(self.windows, z.dtype)
        samples = windows.reshape(len(windows), -1).T
        twice = np.shape(self.norms)[1] > len(windows)
        z = xp.concatenate([z, mirrored(z)]) if twice else z
        arrays = self.lags, self.points, self.axes, self.norms, self.alpha
        found = []
        for lags, points, axes, norms, alpha in zip(*arrays, strict=True):
            turned = einsum("st,btpx->bspx", xp.asarray(lags, z.dtype), z)
            turned = einsum("pq,btqx->btpx", xp.asarray(points, z.dtype), turned)
            turned = turned * xp.asarray(axes, z.dtype)
            own = xp.sum(turned * z, axis=(1, 2, 3))
            sides = [turned, mirrored(turned)] if twice else [turned]
            products = [matmul(side.reshape(len(z), -1), samples) for side in sides]
            squares = own[:, None] + xp.asarray(norms, z.dtype)
            squares = squares - 2 * xp.concatenate(products, axis=1)
            kernel = xp.exp(-xp.maximum(squares, 0) / 2)
            found.append(matmul(kernel, xp.asarray(alpha, z.dtype)))
        place = self.outputs.reshape(-1)[:, None] == np.arange(3 * z.shape[2])
        total = matmul(xp.concatenate(found, axis=1), xp.asarray(place, z.dtype))
        total = total.reshape(len(z), -1, 3)
        return total[:count] + mirrored(total[count:]) if twice else total

    def to_arrays(self) -> dict[str, np.ndarray]:
        own = {f.name: np.asarray(getattr(self, f.name)) for f in dataclasses.fields(self)[1:]}
        return own | {LINEAR + name: value for name, value in self.linear.to_arrays().items()}

    @classmethod
    def from_arrays(cls, method: ClosedForm, arrays: dict[str, np.ndarray]) -> BodyKernelPredictor:
        linear = BodyPredictor.from_arrays(method, part_of(arrays, LINEAR))
        return cls(linear, **{name: value for name, value in arrays.items() if "/" not in name})
