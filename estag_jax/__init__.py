"""Forecasts the motion of physical systems from a window of past frames, exactly equivariant.

    import estag_jax
    forecaster = estag_jax.load("runs/demo")
    frame = forecaster.predict(forecaster.history(positions))        # [N, C, 3]

See the README for training and for one's own data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from estag_jax.runs.forecaster import Forecaster, load
    from estag_jax.types import Topology

__all__ = ["Forecaster", "Topology", "load"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `from estag_jax.ops.edft import edft` does not load flax, optax
    # and orbax.
    if name in ("Forecaster", "load"):
        from estag_jax.runs import forecaster as forecast

        return getattr(forecast, name)
    if name == "Topology":
        from estag_jax.types import Topology

        return Topology
    raise AttributeError(f"module 'estag_jax' has no attribute {name!r}")
