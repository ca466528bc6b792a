"""What a fit of frame kernel gives: a linear forecast in local frames, and what a kernel adds to it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import numpy as np

from estag_jax.graph import Array
from estag_jax.models.base import Predictor
from estag_jax.models.frame_ridge import FramePredictor
from estag_jax.models.frames import mean_of_views, seen_from_nodes
from estag_jax.ops import linalg
from estag_jax.ops.frames import backward_differences
from estag_jax.ops.kernels import Directions, Scales, added_kernels, directions, initial_scales

ENTRIES = 2**21
"""Of the kernels' matrices that are computed at once."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FrameKernelPredictor(Predictor):
    """A linear forecast in local frames, and what a kernel adds to it.

        x*_i = linear_i + τ R_i^T sum_s k(z_i, z_is) α_is

    or the mean of this over the views of i, where nodes are tied (models.symmetries; else V and K are N),
    with the kernel of ops.kernels less its linear part, which is collapsed into ``linear``: its
    coefficients cancel to seven digits, so float32 would lose them. k takes products along few
    ``directions`` of z; those of the samples are kept, in float64 until the caller casts them.

    Args:
      linear: the linear part.
      windows: what the samples are seen in [W, N, T, C, 3], for a file.
      seen_from: of each class the window and the view of each sample [K, S, 2].
      classes: of the views [V].
      alpha: α for the components 1 and 2 of every channel, then for the third [K, S, 3 C].
      scales: of the kernel.
      sizes: of the backward differences, by which they are divided [T].
      mean: mean shape in each frame, in the unit of the shape [K, M*C, 2].
      rings: distances along bonds of what each node looks at [K, M*C].
      size: τ.
      samples: how many were fitted; with fewer here, these are the inducing ones.
      directions: of each class, filled up with zeros [K, D, q].
      features: of the samples along these [K, q, S] each, and |z|²/2 [K, S].
    """

    compiled: ClassVar[bool] = True

    linear: FramePredictor
    windows: Array
    seen_from: Array
    classes: Array
    alpha: Array
    scales: Scales
    sizes: Array
    mean: Array
    rings: Array
    size: Array
    samples: Array
    directions: Directions | None = None
    features: tuple[Array, ...] = ()

    def looking(self, cut: float) -> FrameKernelPredictor:
        """The predictor with the directions that its samples give, see ops.kernels.directions."""
        past, last = self.differenced(linalg.NUMPY, np.asarray(self.windows, np.float64))
        found, features = [], []
        for k, rings in enumerate(self.rings):
            which, views = self.seen_from[k].T
            z = np.empty((len(which), *self.mean.shape[1:2], past.shape[2], 3))
            for view in np.unique(views):
                own = np.flatnonzero(views == view)
                given = past[which[own]], last[which[own]], self.linear.axes[:, view]
                near = self.linear.neighbours[view]
                _, z[own] = self.seen(linalg.NUMPY, *given, near, self.mean[k])
            along = directions(self.scales, z, rings, cut)
            found.append(along)
            features.append([feature.T for feature in along.features(linalg.NUMPY, z)])
        return dataclasses.replace(
            self, directions=Directions(*_padded(found)), features=_padded(features)
        )

    @property
    def parameters(self) -> int:
        return np.size(self.alpha) + sum(np.size(leaf) for leaf in jax.tree.leaves(self.scales))

    @property
    def chosen(self) -> dict[str, Any]:
        found = {name: value for name, value in self.linear.chosen.items() if name != "ridge"}
        found["samples"] = int(self.samples)
        if (kept := np.shape(self.alpha)[1]) < found["samples"]:
            found["inducing samples"] = kept
        return found

    def predict(self, history: Array, inputs: Any = None) -> Array:
        del inputs
        backend, history = linalg.backend_of(history)
        frame = self.linear.predict(history)
        past = history.reshape(-1, *history.shape[-4:])
        if backend is linalg.JAX:
            added = self._added(backend, past)
        else:
            at_once = max(1, ENTRIES // np.shape(self.alpha)[1])
            blocks = range(0, len(past), at_once)
            added = [self._added(backend, past[begin : begin + at_once]) for begin in blocks]
            added = np.concatenate(added) if added else np.empty(frame.shape)
        return frame + added.reshape(frame.shape)

    def _added(self, backend: linalg.Backend, past: Array) -> Array:
        """What the kernel adds [B, N, C, 3]."""
        xp, matmul, (channels, dtype) = backend.xp, backend.matmul, (past.shape[3], past.dtype)
        scales = jax.tree.map(lambda leaf: xp.asarray(leaf, dtype), self.scales)
        given = self.differenced(backend, past)

        def of_view(axes, near, mean, alpha, along, samples):
            frames, z = self.seen(backend, *given, axes, near, mean)
            features = along.features(backend, z)
            samples = tuple(feature.T for feature in samples)
            even, odd = added_kernels(backend, scales, features, samples)
            flat = matmul(even, alpha[:, : 2 * channels]).reshape(-1, channels, 2)
            third = matmul(odd, alpha[:, 2 * channels :])[..., None]
            return matmul(xp.concatenate([flat, third], axis=-1), frames)

        fitted = self.mean, self.alpha, self.directions, self.features
        fitted = jax.tree.map(lambda leaf: xp.asarray(leaf, dtype), fitted)

        def of_class(view):
            axes, near, k = view
            return of_view(axes, near, *jax.tree.map(lambda leaf: leaf[k], fitted))

        views = jax.tree.map(xp.asarray, (self.linear.axes.T, self.linear.neighbours, self.classes))
        classes, samples = np.shape(self.alpha)[:2]
        if backend is linalg.NUMPY:
            added = np.stack([of_class(view) for view in zip(*views, strict=True)])
        elif len(self.classes) == classes and classes * samples * len(past) <= ENTRIES:
            added = jax.vmap(of_view)(*views[:2], *fitted)  # a loop would copy what is fitted
        else:
            added = jax.lax.map(of_class, views)
        nodes = np.size(self.linear.degenerate)
        added = mean_of_views(xp, xp.moveaxis(added, 0, 1), self.linear.axes, nodes)
        return xp.asarray(self.size, dtype) * added

    def differenced(self, backend: linalg.Backend, past: Array) -> tuple[Array, Array]:
        """Differences of all orders, divided by their sizes [B, N, T, C, 3], and the last frame."""
        sizes = backend.xp.asarray(self.sizes, past.dtype)[:, None, None]
        return backward_differences(backend.xp, past) / sizes, past[:, :, -1]

    def seen(
        self,
        backend: linalg.Backend,
        past: Array,
        last: Array,
        axes: Array,
        near: Array,
        mean: Array,
    ) -> tuple[Array, Array]:
        """The frames of a node [B, 3, 3] and z [B, M*C, T, 3]."""
        xp, first = backend.xp, backend.xp.eye(past.shape[2], dtype=past.dtype)[0]
        frames, z = seen_from_nodes(
            backend, past, last, axes[:, None], near[None], first / self.sizes[0]
        )
        centre = xp.concatenate([mean, xp.zeros_like(mean[:, :1])], axis=1)
        return frames[:, 0], z[:, 0] - centre[:, None] * first[:, None]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The leaves by name, without directions and features, which follow from them.

        Samples share frames, so each frame is kept once: ``frames`` [F, N, C, 3], and which of them a
        sample has, ``windows`` [S, T].
        """
        kept = dataclasses.replace(self, directions=None, features=())
        leaves = jax.tree_util.tree_leaves_with_path(kept)
        arrays = {_name(path): np.asarray(leaf) for path, leaf in leaves}
        moments = np.moveaxis(arrays["windows"], 2, 1)  # [S, T, N, C, 3]
        flat = moments.reshape(-1, math.prod(moments.shape[2:]))
        frames, which = np.unique(flat, axis=0, return_inverse=True)
        arrays["windows"] = which.reshape(moments.shape[:2]).astype(np.int32)
        return arrays | {"frames": frames.reshape(-1, *moments.shape[2:])}

    @classmethod
    def from_arrays(cls, method: Any, arrays: dict[str, np.ndarray]) -> FrameKernelPredictor:
        windows = np.moveaxis(arrays["frames"][arrays["windows"]], 1, 2)
        arrays = arrays | {"windows": windows}
        linear = FramePredictor(*[0.0] * len(dataclasses.fields(FramePredictor)))
        empty = cls(linear, *[0.0] * 4, initial_scales(1), *[0.0] * 5)
        filled = jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], empty)
        return filled.looking(method.cut)


def _padded(nodes: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Each field of all nodes as one array, the axis of directions filled up with zeros."""
    fields = []
    for arrays in zip(*nodes, strict=True):
        shape = np.max([array.shape for array in arrays], axis=0)
        field = np.zeros((len(arrays), *shape))
        for place, array in zip(field, arrays, strict=True):
            place[tuple(map(slice, array.shape))] = array
        fields.append(field)
    return tuple(fields)


def _name(path: Any) -> str:
    return "/".join(str(key.name) for key in path)
