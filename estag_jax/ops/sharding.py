"""Device meshes: batches are split over ``data``, a graph over ``nodes``, all else is copied to each device.

Every process reads its part of what is split and puts it on its own devices.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from estag_jax.ops.halo import NODES

REPLICATED = PartitionSpec()


def device_mesh(data: int | None = None, nodes: int = 1) -> Mesh:
    """A mesh of devices with the axes ``data``, over which batches are split, and ``nodes``, for graphs.

    The axes are Auto: under Explicit axes (the default of jax.make_mesh) a vmapped segment_sum fails.

    Args:
      data: devices along ``data``; None: as many as there are, divided by ``nodes``.
      nodes: devices along ``nodes``, neighbours in jax's order of devices.

    Raises:
      ValueError: there are not so many devices, or with several processes some would be left over.
    """
    count = jax.device_count()
    asked = (count // nodes if data is None else data) * nodes
    if not 0 < asked <= count or (data is None or jax.process_count() > 1) and asked != count:
        raise ValueError(
            f"a mesh of data={data}, nodes={nodes} does not fit {count} device(s) of "
            f"{jax.process_count()} process(es); change mesh.data or mesh.nodes"
        )
    return jax.make_mesh(
        (asked // nodes, nodes),
        ("data", NODES),
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[:asked],
    )


def local_mesh() -> Mesh:
    """A mesh of this process's devices along ``data``: for what each process computes for itself."""
    devices = jax.local_devices()
    axes = ("data", NODES)
    return jax.make_mesh((len(devices), 1), axes, axis_types=(AxisType.Auto,) * 2, devices=devices)


def device_name() -> str:
    """What computes, for a result: number and kind of the devices, on a CPU also the cores it may use."""
    name = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    if jax.default_backend() != "cpu":
        return name
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cores} core(s)"


def place(tree: Any, mesh: Mesh, spec: PartitionSpec = REPLICATED) -> Any:
    """Arrays on the devices of a mesh; each process feeds its own devices, and looks at nothing else.

    Args:
      tree: of arrays, equal on all processes; with several processes also of anything with a shape that can
        be sliced, such as training.buckets.Frames.
      mesh: of devices of all processes.
      spec: how each leaf is split; by default every device has all of it.
    """
    if mesh.size == 1:
        # jnp.asarray would make a copy more.
        return jax.tree.map(jax.device_put, tree)
    sharding = NamedSharding(mesh, spec)
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def feed(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) or not hasattr(leaf, "shape"):
            leaf = np.asarray(leaf)
        box = [(n, 0) for n in leaf.shape]  # around what this process's devices hold
        for index in sharding.addressable_devices_indices_map(leaf.shape).values():
            ends = [s.indices(n)[:2] for s, n in zip(index, leaf.shape, strict=True)]
            box = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(box, ends, strict=True)]
        own = np.asarray(leaf[tuple(slice(*ends) for ends in box)])
        return jax.make_array_from_process_local_data(sharding, own, leaf.shape)

    return jax.tree.map(feed, tree)


def on_all(mesh: Mesh) -> NamedSharding | None:
    """Every device has all of an array. None on a mesh of one device, whose arrays are as anyone's: a
    program is compiled once for them and for those of a file.
    """
    return None if mesh.size == 1 else NamedSharding(mesh, REPLICATED)


def of_this_process(tree: Any) -> Any:
    """Copies of replicated arrays on this process's devices alone, for what it computes for itself."""
    if jax.device_count() == 1:
        return tree
    sharding = NamedSharding(local_mesh(), REPLICATED)

    def copied(leaf: jax.Array) -> jax.Array:
        return jax.device_put(
            leaf if leaf.is_fully_addressable else leaf.addressable_data(0), sharding
        )

    return jax.tree.map(copied, tree)


def over_processes(values: np.ndarray) -> np.ndarray:
    """The same array of every process, bit for bit, with a leading axis of processes."""
    values = np.atleast_1d(values)
    if jax.process_count() == 1:
        return values[None]
    rows = multihost_utils.process_allgather(np.frombuffer(values.tobytes(), np.uint8))
    return np.asarray(rows).view(values.dtype).reshape(-1, *values.shape)


def split_over_devices(tree: Any, mesh: Mesh | None) -> Any:
    """The leading axis of every leaf split over the mesh, inside jit or out; unchanged on one device."""
    if mesh is None or mesh.size == 1:
        return tree
    spec = NamedSharding(mesh, PartitionSpec("data"))
    if isinstance(jax.tree.leaves(tree)[0], Tracer):
        return jax.lax.with_sharding_constraint(tree, spec)
    return jax.device_put(tree, spec)


def over_seeds(function: Callable[..., Any], mapped: int) -> Callable[..., Any]:
    """The function for a leading axis of seeds of its first ``mapped`` arguments and of its result.

    On a CPU device one seed after the other, which is faster than vmap and keeps the arrays of one seed;
    a single seed is computed without the axis.
    """

    def called(*arguments):
        first, rest = arguments[:mapped], arguments[mapped:]
        if jax.tree.leaves(first)[0].shape[0] == 1:
            first = jax.tree.map(lambda leaf: leaf[0], first)
            return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], function(*first, *rest))
        if jax.default_backend() == "cpu" and jax.device_count() == 1:
            return jax.lax.map(lambda first: function(*first, *rest), first)
        return jax.vmap(lambda *first: function(*first, *rest))(*first)

    return called
