"""VAR ridge with weights of their own for the vertical components."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from estag_jax.data.task import Task
from estag_jax.graph import Array
from estag_jax.models.base import Predictor, lacking
from estag_jax.models.linear import LinearPredictor, fitting_vectors
from estag_jax.models.ridge import VarRidge
from estag_jax.npz import part_of
from estag_jax.ops import linalg


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class VerticalPredictor(Predictor):
    """A linear forecast with weights of their own along an external vector.

        x* = h(x) + u uᵀ (v(x) - h(x)),  u = up / |up|

    Equivariant where ``up`` turns with the history, since u uᵀ does and the weights are scalars.

    Args:
      vertical: v, which moves what points along ``up``.
      horizontal: h, which moves the two components across.
    """

    vertical: LinearPredictor
    horizontal: LinearPredictor

    @property
    def vectors(self) -> tuple[str, ...]:
        return ("up",)

    @property
    def parameters(self) -> int:
        return self.vertical.parameters + self.horizontal.parameters

    @property
    def chosen(self) -> dict[str, Any]:
        return {f"ridge, {name}": float(part.ridge) for name, part in self._parts().items()}

    def predict(self, history: Array, inputs: Mapping[str, Array]) -> Array:
        if "up" not in inputs:
            raise ValueError(f"the forecast {lacking('up')}")
        (xp, _, _), history = linalg.backend_of(history)
        up = xp.asarray(inputs["up"], history.dtype)[:, None, None]
        up = up / xp.linalg.norm(up, axis=-1, keepdims=True)
        horizontal = self.horizontal.predict(history)
        change = self.vertical.predict(history) - horizontal
        return horizontal + (change * up).sum(axis=-1, keepdims=True) * up

    def to_arrays(self) -> dict[str, np.ndarray]:
        parts = self._parts().items()
        return {f"{n}/{k}": a for n, part in parts for k, a in part.to_arrays().items()}

    @classmethod
    def from_arrays(cls, method: Any, arrays: dict[str, np.ndarray]) -> VerticalPredictor:
        parts = (part_of(arrays, f"{name}/") for name in ("vertical", "horizontal"))
        return cls(*(LinearPredictor.from_arrays(method, part) for part in parts))

    def _parts(self) -> dict[str, LinearPredictor]:
        return {"vertical": self.vertical, "horizontal": self.horizontal}


@dataclasses.dataclass(frozen=True)
class VarRidgeVertical(VarRidge):
    """VAR ridge with weights of their own for the vertical components; needs the external vector ``up``.

    Gravity makes motion along u = up / |up| unlike motion across it. Two regressions, each with its λ, of
    the vertical components uᵀ x and of the horizontal ones x - u uᵀ x, else as in VAR ridge.
    """

    predictor = VerticalPredictor
    vectors = ("up",)

    def fit(self, task: Task) -> VerticalPredictor:
        if why := self.refuse(task):
            raise ValueError(f"VAR ridge, vertical apart {why}")
        vertical, horizontal = [], []
        for part in ("train", "validation"):
            up = fitting_vectors(task, part)["up"]
            up = up / np.linalg.norm(up, axis=-1, keepdims=True)
            split = [_split(values, up) for values in self.rows(task, part)]
            vertical.append(tuple(along for along, _ in split))
            horizontal.append(tuple(across for _, across in split))
        return VerticalPredictor(self.solve(*vertical), self.solve(*horizontal))


def _split(values: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by coordinate [W, 3, …] as vertical [W, 1, …] and horizontal ones [W, 3, …]."""
    up = up.reshape(*up.shape, *[1] * (values.ndim - 2))
    vertical = (up * values).sum(axis=1, keepdims=True)
    return vertical, values - up * vertical
