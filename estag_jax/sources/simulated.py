"""Simulations as sources: molecules by GFN2-xTB, and small systems with known equations."""

from __future__ import annotations

from estag_jax.data.trajectory import Trajectory
from estag_jax.io import Report, silent
from estag_jax.simulate import synthetic, xtb
from estag_jax.sources.download import folder_of
from estag_jax.sources.options import SyntheticOptions, XtbOptions


def read_xtb(name: str, options: XtbOptions, report: Report = silent) -> Trajectory:
    """A molecule by ``simulate.xtb``, kept in the folder or the cache.

    Args:
      name: a molecule of MD17, a SMILES, or the path of an .xyz geometry.
      options: how it is simulated, and where it is kept.
      report: receives the number of steps done.
    """
    return xtb.read(name, options.xtb, folder_of(options, "xtb"), report)


def read_synthetic(name: str, options: SyntheticOptions, report: Report = silent) -> Trajectory:
    """A system by ``simulate.synthetic``; consecutive frames make its windows, whole runs its split.

    Args:
      name: springs, charged, pendulum, lorenz or threebody.
      options: how it is drawn and integrated.
      report: not used; it takes seconds.
    """
    return synthetic.read(name, options.synthetic)
