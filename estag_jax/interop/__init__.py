"""To and from other programs: the authors' released weights, StableHLO, ASE."""

from estag_jax.interop.atoms import as_atoms, extend
from estag_jax.interop.exported import export
from estag_jax.interop.released import load_released
from estag_jax.moved import moved

__all__ = ["as_atoms", "export", "extend", "load_released"]
__getattr__ = moved(__name__, {"load_reference": "estag_jax.interop.load_released"})
