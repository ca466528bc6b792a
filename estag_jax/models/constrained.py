"""Any method with constrained bonds: its forecasts keep the bond lengths of the last past frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, NetworkMethod, NetworkPredictor, Predictor
from estag_jax.models.started import Started, StartedPredictor
from estag_jax.ops.constraints import SWEEPS, bond_groups, restore_lengths


@dataclasses.dataclass(frozen=True)
class Constrained:
    """What ``fit(method, task, constrain_bonds=True)`` fits.

    Args:
      method: whose forecasts are corrected.
      sweeps: of SHAKE over all bonds.
    """

    method: ClosedForm | NetworkMethod | Started
    sweeps: int = SWEEPS

    @property
    def hidden(self) -> int:
        """H of the method, for the size of batches."""
        return getattr(self.method, "hidden", 16)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ConstrainedPredictor(Predictor):
    """A predictor whose forecasts get the bond lengths of the last past frame (ops.constraints).

    Equivariant where the predictor is. For rigid skeletons: bones keep their lengths, bonds of molecules
    and above all distances in a protein's model of few points do not, and there it does harm.

    Args:
      predictor: makes the forecasts.
      sweeps: of SHAKE over all bonds.
    """

    predictor: Predictor
    sweeps: int = dataclasses.field(default=SWEEPS, metadata={"static": True})

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

    def inputs(self, system: System, size: tuple[int, int] | None = None) -> tuple[Any, Any]:
        """Groups of bonds, and the predictor's inputs.

        Raises:
          ValueError: the system cannot be constrained.
        """
        if why := unconstrainable(system):
            raise ValueError(f"bonds cannot be constrained: {why}")
        return bond_groups(system.bonds), self.predictor.inputs(system, size)

    def with_vectors(
        self, inputs: tuple[Any, Any], vectors: Mapping[str, Array]
    ) -> tuple[Any, Any]:
        return inputs[0], self.predictor.with_vectors(inputs[1], vectors)

    def notes(self, system: System) -> tuple[str, ...]:
        return self.predictor.notes(system)

    def predict(self, history: Array, inputs: tuple[Any, Any]) -> Array:
        forecast = self.predictor.predict(history, inputs[1])
        last = history[..., -1, 0, :]
        return restore_lengths(forecast[..., 0, :], last, inputs[0], self.sweeps)[..., None, :]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.predictor.to_arrays()

    @classmethod
    def from_arrays(
        cls, method: Constrained, arrays: dict[str, np.ndarray]
    ) -> ConstrainedPredictor:
        own = predictor_class(method.method)
        return cls(own.from_arrays(method.method, arrays), method.sweeps)


def unconstrainable(system: System) -> str | None:
    """Why the bonds of a system cannot be constrained, in one line, or None."""
    if system.channels > 1:
        return f"its nodes have {system.channels} points each, and bonds join nodes"
    if system.bonds is None or not len(system.bonds):
        return (
            "it has no bonds (bones); give them as bonds [bonds, 2], or choose --graph.kind bonds"
        )
    return None


def predictor_class(method: Any) -> type[Predictor]:
    """What a fit of a method gives, to read it back from a file."""
    if isinstance(method, Constrained):
        return ConstrainedPredictor
    if isinstance(method, Started):
        return StartedPredictor
    return method.predictor if isinstance(method, ClosedForm) else NetworkPredictor
