"""Device meshes: batches are split over all devices, everything else is copied to each."""

from __future__ import annotations

import os
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
    """A mesh of all devices with the single axis ``data``.

    The axis is Auto: under Explicit axes (the default of jax.make_mesh) a vmapped segment_sum fails.
    """
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def device_name() -> str:
    """What computes, for a result: number and kind of the devices, on a CPU also the cores it may use."""
    name = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    if jax.default_backend() != "cpu":
        return name
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cores} core(s)"


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Every leaf copied to every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def split_over_devices(tree: Any, mesh: Mesh | None) -> Any:
    """The leading axis of every leaf split over the mesh, inside jit or out; unchanged without a mesh."""
    if mesh is None:
        return tree
    spec = NamedSharding(mesh, PartitionSpec("data"))
    if isinstance(jax.tree.leaves(tree)[0], Tracer):
        return jax.lax.with_sharding_constraint(tree, spec)
    return jax.device_put(tree, spec)
