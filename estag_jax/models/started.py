"""A network that starts from a closed form: it learns what the closed form leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, NetworkMethod, NetworkPredictor, Predictor
from estag_jax.models.memory import edge_numbers
from estag_jax.npz import part_of


@dataclasses.dataclass(frozen=True)
class Started:
    """What ``fit(network, task, start=…)`` fits.

    Args:
      network: learns what is left.
      start: the closed form.
    """

    network: NetworkMethod
    start: ClosedForm

    @property
    def edge_numbers(self) -> int:
        """Those of the network, for the size of batches."""
        return edge_numbers(self.network)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class StartedPredictor(Predictor):
    """A closed form's forecast and the step that a network adds to it.

        x* = f(x) + n(x) - x(T-1)

    Equivariant where the network n and the closed form f are.

    Args:
      network: n.
      start: f.
    """

    compiled: ClassVar[bool] = True

    network: NetworkPredictor
    start: Predictor

    @property
    def parameters(self) -> int:
        return self.network.parameters + self.start.parameters

    @property
    def chosen(self) -> dict[str, Any]:
        return self.start.chosen

    @property
    def vectors(self) -> tuple[str, ...]:
        return self.start.vectors

    def inputs(self, system: System, size: tuple[int, int] | None = None) -> tuple[Any, Any]:
        return self.network.inputs(system, size), self.start.inputs(system, size)

    def with_vectors(
        self, inputs: tuple[Any, Any], vectors: Mapping[str, Array]
    ) -> tuple[Any, Any]:
        return inputs[0], self.start.with_vectors(inputs[1], vectors)

    def predict(self, history: Array, inputs: tuple[Any, Any]) -> jax.Array:
        history = jnp.asarray(history)
        step = self.network.predict(history, inputs[0]) - history[..., -1, :, :]
        return self.start.predict(history, inputs[1]) + step

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            f"{part}/{name}": array
            for part in ("network", "start")
            for name, array in getattr(self, part).to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, method: Started, arrays: dict[str, np.ndarray]) -> StartedPredictor:
        network = NetworkPredictor.from_arrays(method.network, part_of(arrays, "network/"))
        start = part_of(arrays, "start/")
        return cls(network, method.start.predictor.from_arrays(method.start, start))
