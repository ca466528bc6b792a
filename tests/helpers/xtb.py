"""What the tests of simulated trajectories share; without the extra xtb they are skipped."""

from __future__ import annotations

import pytest

from estag_jax.simulate.settings import XtbConfig

for package in ("tblite", "rdkit"):
    pytest.importorskip(package, reason="needs the extra xtb (pip install 'estag_jax[xtb]')")

SHORT = XtbConfig(frames=40, equilibration=10)


def file_of(cache):
    (path,) = cache.glob("*.npz")
    return path
