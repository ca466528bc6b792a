"""The compiled part of training: arranging an epoch's batches, and steps of the optimiser as a scan.

Everything here is a pure function of arrays. Frames stay on the device and windows are cut there;
where it has no room for them, windows come cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec

from estag_jax.data.settings import WindowConfig
from estag_jax.ops.halo import NODES
from estag_jax.ops.sharding import split_over_devices
from estag_jax.training.buckets import CUT_SPEC, Bucket, Cut, bucket_spec
from estag_jax.training.losses import Batch, Loss


class TrainState(NamedTuple):
    """What training changes.

    Args:
      variables: the model's variables.
      opt_state: the optimiser's state.
    """

    variables: Any
    opt_state: Any


class Rows(NamedTuple):
    """The batches of an epoch, or some of them.

    Args:
      windows: numbers of windows in their bucket [steps, width], or the windows cut, leading axes
        [steps, chunks, width / chunks].
      weights: 1 for the batch's windows, 0 for those that only fill it up [steps, width].
      keys: for dropout [steps].
    """

    windows: jax.Array | Cut
    weights: jax.Array
    keys: jax.Array


def init_state(variables: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; only ``params`` are optimised."""
    return TrainState(variables, optimizer.init(variables["params"]))


def arrange(key: jax.Array, epoch: jax.Array, count: int, batch: int, multiple: int = 1) -> Rows:
    """The batches of an epoch, shuffled by ``fold_in(key, epoch)`` and nothing else.

    Where ``batch`` does not divide the number of windows, or is no multiple, a batch is filled up with its
    own windows at weight zero; only batch statistics see them.

    Args:
      key: of the run.
      epoch: its number.
      count: windows.
      batch: windows per step.
      multiple: the width of a batch is filled up to a multiple of this.
    """
    batch = min(batch, count)
    steps, width = math.ceil(count / batch), math.ceil(batch / multiple) * multiple
    key = jax.random.fold_in(key, epoch)
    shuffled = jax.random.permutation(key, jnp.arange(count))
    keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(jnp.arange(steps))
    first, place = batch * jnp.arange(steps)[:, None], jnp.arange(width)
    own = jnp.minimum(count - first, batch)
    windows = shuffled[first + place % own]
    weights = (place < own).astype(jnp.float32)
    return Rows(windows, weights, keys)


def make_steps(
    module: nn.Module,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    window: WindowConfig,
    chunks: int = 1,
    mesh: jax.sharding.Mesh | None = None,
) -> Callable[[TrainState, Rows, Bucket], tuple[TrainState, jax.Array]]:
    """Builds the function that takes one step for each row of windows.

    The gradient of a step is summed over chunks of its windows, so that temporaries are those of a
    chunk (models.memory); the result is that of one batch up to rounding.

    Args:
      module: the network.
      loss: see training.losses.
      optimizer: the update rule.
      window: the shape of a window.
      chunks: into how many parts a batch is cut; 1 for modules with batch statistics.
      mesh: device mesh with an axis ``data`` over which each chunk is split, and an axis ``nodes`` over
        which the graph is; or None.

    Returns:
      ``steps(state, rows, bucket) -> (state, mean loss of the rows' windows)``, to be jitted by the
      caller (or vmapped over states and rows).
    """
    shape = window.past, window.delta, window.horizons
    in_parts = mesh is not None and mesh.shape[NODES] > 1

    def total(params, statistics, windows, weights, key, bucket):
        if not in_parts:
            windows, weights = split_over_devices((windows, weights), mesh)
        history, target, features, graph = bucket.windows(windows, *shape)
        weights = weights.astype(history.dtype)
        updated = statistics

        def predict(history):
            nonlocal updated
            variables, rngs = {"params": params, **updated}, {"dropout": key}
            frame, updated = module.apply(
                variables, history, features, graph, mutable=list(statistics), rngs=rngs
            )
            return frame

        errors = loss(predict, Batch(history, target, graph, window.horizons))
        value = jnp.sum(weights * errors)
        return (jax.lax.psum(value, "data") if in_parts else value), updated

    def over_parts(params, statistics, windows, *rest):
        """Each device sees its windows and its part of the graph."""
        whole, by_window = PartitionSpec(), PartitionSpec("data")
        frames = CUT_SPEC if isinstance(windows, Cut) else by_window
        given = whole, whole, frames, by_window, whole, bucket_spec(mesh.shape[NODES])
        mapped = jax.shard_map(total, mesh=mesh, in_specs=given, out_specs=whole)
        return mapped(params, statistics, windows, *rest)

    gradient = jax.value_and_grad(over_parts if in_parts else total, has_aux=True)

    def summed(params, statistics, windows, weights, key, bucket):
        """Weighted sum of the loss, statistics after it, and gradient, over all chunks."""
        if isinstance(windows, Cut):
            windows = windows if chunks > 1 else jax.tree.map(lambda leaf: leaf[0], windows)
        elif chunks > 1:
            windows = windows.reshape(chunks, -1)
        if chunks == 1:
            return gradient(params, statistics, windows, weights, key, bucket)

        def chunk(sums, part):
            (value, _), slope = gradient(params, statistics, *part, bucket)
            return jax.tree.map(jnp.add, sums, (value, slope)), None

        parts = windows, weights.reshape(chunks, -1)
        nothing = jnp.zeros((), bucket.positions.dtype), jax.tree.map(jnp.zeros_like, params)
        (value, slope), _ = jax.lax.scan(chunk, nothing, (*parts, jax.random.split(key, chunks)))
        return (value, statistics), slope

    def step(bucket, state, row):
        params = state.variables["params"]
        statistics = {name: v for name, v in state.variables.items() if name != "params"}
        size = jnp.sum(row.weights)
        (value, statistics), slope = summed(
            params, statistics, row.windows, row.weights, row.keys, bucket
        )
        slope = jax.tree.map(lambda leaf: leaf / size.astype(leaf.dtype), slope)
        updates, opt_state = optimizer.update(slope, state.opt_state, params)
        if isinstance(opt_state, optax.ApplyIfFiniteState):  # what is left out leaves no trace
            keep = partial(jnp.where, opt_state.last_finite)
            value, size = keep(value, 0), keep(size, 0)
            before = {name: state.variables[name] for name in statistics}
            statistics = jax.tree.map(keep, statistics, before)
        variables = {"params": optax.apply_updates(params, updates), **statistics}
        return TrainState(variables, opt_state), (value, size)

    def steps(state, rows, bucket):
        state, (values, sizes) = jax.lax.scan(
            lambda state, row: step(bucket, state, row), state, rows
        )
        return state, jnp.sum(values) / jnp.sum(sizes)

    return steps
