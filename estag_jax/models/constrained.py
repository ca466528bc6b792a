"""Any method with constrained bonds: its forecasts keep the bond lengths of the last past frame."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from estag_jax.data.system import System
from estag_jax.graph import Array
from estag_jax.models.base import ClosedForm, NetworkMethod
from estag_jax.models.corrected import CorrectedPredictor
from estag_jax.models.memory import edge_numbers
from estag_jax.models.started import Started
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
    def edge_numbers(self) -> int:
        """Those of the method, for the size of batches."""
        return edge_numbers(self.method)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ConstrainedPredictor(CorrectedPredictor):
    """A predictor whose forecasts get the bond lengths of the last past frame (ops.constraints).

    For rigid skeletons: bones keep their lengths, bonds of molecules and above all distances in a
    protein's model of few points do not, and there it does harm.

    Args:
      predictor: makes the forecasts.
      sweeps: of SHAKE over all bonds.
    """

    sweeps: int = dataclasses.field(default=SWEEPS, metadata={"static": True})

    def bonds(self, system: System) -> tuple[np.ndarray, ...]:
        if why := unconstrainable(system):
            raise ValueError(f"bonds cannot be constrained: {why}")
        return bond_groups(system.bonds)

    def correct(self, frame: Array, history: Array, groups: tuple[Array, ...]) -> Array:
        last = history[..., -1, 0, :]
        return restore_lengths(frame[..., 0, :], last, groups, self.sweeps)[..., None, :]


def unconstrainable(system: System) -> str | None:
    """Why the bonds of a system cannot be constrained, in one line, or None."""
    if system.channels > 1:
        return f"its nodes have {system.channels} points each, and bonds join nodes"
    if system.bonds is None or not len(system.bonds):
        return (
            "it has no bonds (bones); give them as bonds [bonds, 2], or choose --graph.kind bonds"
        )
    return None
