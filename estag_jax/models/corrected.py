"""A predictor whose forecasts are corrected by a map that turns with them."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.models.base import Predictor


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class CorrectedPredictor(Predictor):
    """A predictor and what is done to its forecasts; its inputs are those of both.

    Equivariant where the predictor and the correction are.

    Args:
      predictor: makes the forecasts.
    """

    predictor: Predictor

    @property
    def compiled(self) -> bool:  # ty: ignore[incompatible-property-override] (as the predictor's)
        return self.predictor.compiled

    @property
    def transfers(self) -> bool:  # ty: ignore[incompatible-property-override] (as the predictor's)
        return self.predictor.transfers

    @property
    def vectors(self) -> tuple[str, ...]:
        return self.predictor.vectors

    @property
    def parameters(self) -> int:
        return self.predictor.parameters

    @property
    def chosen(self) -> dict[str, Any]:
        return self.predictor.chosen

    @abc.abstractmethod
    def bonds(self, system: System) -> tuple[np.ndarray, ...]:
        """Groups of bonds that the correction moves at once (ops.constraints.bond_groups)."""

    @abc.abstractmethod
    def correct(self, frame: Array, history: Array, groups: tuple[Array, ...]) -> Array:
        """The forecast [..., N, C, 3] after a history [..., N, T, C, 3], corrected."""

    def inputs(self, system: System, size: tuple[int, int] | None = None) -> tuple[Any, Any]:
        """Groups of bonds, and the predictor's inputs.

        Raises:
          ValueError: the system cannot be corrected.
        """
        return self.bonds(system), self.predictor.inputs(system, size)

    def with_vectors(
        self, inputs: tuple[Any, Any], vectors: Mapping[str, Array]
    ) -> tuple[Any, Any]:
        return inputs[0], self.predictor.with_vectors(inputs[1], vectors)

    def notes(self, system: System) -> tuple[str, ...]:
        return self.predictor.notes(system)

    def predict(self, history: Array, inputs: tuple[Any, Any]) -> Array:
        return self.correct(self.predictor.predict(history, inputs[1]), history, inputs[0])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.predictor.to_arrays()
