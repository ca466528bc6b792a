"""To and from other programs: the authors' released weights, StableHLO, ASE."""

from estag_jax.interop.atoms import as_atoms, extend
from estag_jax.interop.exported import export
from estag_jax.interop.released import load_released

__all__ = ["as_atoms", "export", "extend", "load_released"]
