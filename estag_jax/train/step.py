"""The compiled part of training: loss, one epoch as a scan, errors of a set of windows.

Everything here is a pure function of arrays; data stay on the device and windows are cut there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from estag_jax.data.windows import WindowConfig
from estag_jax.evaluate.metrics import per_window_mse
from estag_jax.nn.layers import WINDOWS
from estag_jax.ops.windows import gather_windows
from estag_jax.train.sharding import split_over_devices
from estag_jax.types import Topology


class Dataset(NamedTuple):
    """What a model is trained on, as arrays on the device.

    Args:
      positions: [frames, N, C, 3].
      node_features: [N, F].
      topology: the graph.
    """

    positions: jax.Array
    node_features: jax.Array
    topology: Topology


class TrainState(NamedTuple):
    """What training changes.

    Args:
      variables: the model's variables.
      opt_state: the optimiser's state.
    """

    variables: Any
    opt_state: Any


def predict_windows(
    model: nn.Module, variables: Any, data: Dataset, history: jax.Array
) -> jax.Array:
    """Predictions [W, N, C, 3] for histories [W, N, T, C, 3]: the one place where models are batched."""
    return jax.vmap(lambda h: model.apply(variables, h, data.node_features, data.topology))(history)


def init_state(variables: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; only ``params`` are optimised."""
    return TrainState(variables, optimizer.init(variables["params"]))


def _parted(variables: Any) -> tuple[Any, dict[str, Any]]:
    """The parameters and, by collection, the running statistics (mostly none)."""
    return variables["params"], {name: v for name, v in variables.items() if name != "params"}


def _predict_training(
    model: nn.Module,
    params: Any,
    statistics: dict[str, Any],
    data: Dataset,
    history: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, dict[str, Any]]:
    """``predict_windows`` as training does it: with dropout, where the model has it, and with running
    statistics updated, from all windows of the batch alike.

    Args:
      model: called for one graph.
      params: its parameters.
      statistics: its running statistics by collection, mostly none.
      data: node features and graph are read.
      history: [W, N, T, C, 3].
      key: for dropout.

    Returns:
      Predictions [W, N, C, 3] and the statistics after the batch.
    """
    variables = {"params": params, **statistics}

    def one(window, key):
        return model.apply(
            variables,
            window,
            data.node_features,
            data.topology,
            mutable=list(statistics),
            rngs={"dropout": key},
        )

    keys = jax.random.split(key, history.shape[0])
    return jax.vmap(one, out_axes=(0, None), axis_name=WINDOWS)(history, keys)


def make_epoch(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    window: WindowConfig,
    batch: int,
    mesh: jax.sharding.Mesh | None = None,
) -> Callable[..., tuple[TrainState, jax.Array]]:
    """Builds the function that trains for one epoch.

    Loss: mean squared error over windows, nodes, channels and the 3 coordinates (method.md). Windows
    are shuffled by ``fold_in(key, epoch)``, so an epoch depends on nothing but its arguments. Where
    ``batch`` does not divide the number of windows, the last batch is filled up with the epoch's first
    windows at weight zero; only batch statistics see them.

    Args:
      model: called for one graph.
      optimizer: the update rule.
      window: the shape of a window.
      batch: windows per step.
      mesh: device mesh with an axis ``data`` over which each batch is split, or None.

    Returns:
      ``epoch(state, key, epoch, starts [W], data) -> (state, mean loss)``, to be jitted by the caller
      (or vmapped over states and keys).
    """

    shape = window.past, window.delta, window.horizon

    def loss_fn(params, statistics, starts, weights, data, key):
        history, target = gather_windows(data.positions, starts, *shape)
        predicted, statistics = _predict_training(model, params, statistics, data, history, key)
        errors = per_window_mse(predicted, target)
        return jnp.sum(weights * errors) / jnp.sum(weights), statistics

    def epoch_fn(state, key, epoch, starts, data):
        count = starts.shape[0]
        steps, width = _layout(count, batch, mesh)
        key = jax.random.fold_in(key, epoch)
        shuffled = jax.random.permutation(key, starts)
        keys = jax.vmap(lambda step: jax.random.fold_in(key, step))(jnp.arange(steps))
        shuffled, weights = _fill(shuffled, steps, width, batch, data.positions.dtype)

        def step(state, inputs):
            starts, weights = split_over_devices(inputs[:2], mesh)
            params, statistics = _parted(state.variables)
            (loss, statistics), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
                params, statistics, starts, weights, data, inputs[2]
            )
            updates, opt_state = optimizer.update(gradient, state.opt_state, params)
            variables = {"params": optax.apply_updates(params, updates), **statistics}
            return TrainState(variables, opt_state), (loss, jnp.sum(weights))

        state, (losses, sizes) = jax.lax.scan(step, state, (shuffled, weights, keys))
        return state, jnp.sum(losses * sizes) / count

    return epoch_fn


def make_errors(
    model: nn.Module,
    window: WindowConfig,
    batch: int,
    mesh: jax.sharding.Mesh | None = None,
) -> Callable[..., jax.Array]:
    """Builds the function that measures the error of every window of a set.

    Args:
      model: called for one graph.
      window: the shape of a window.
      batch: windows evaluated at once.
      mesh: device mesh with an axis ``data``, or None.

    Returns:
      ``errors(variables, starts [W], data) -> [W]`` mean squared errors in squared length units.
    """

    shape = window.past, window.delta, window.horizon

    def errors_fn(variables, starts, data):
        count = starts.shape[0]
        steps, width = _layout(count, batch, mesh)
        filled, _ = _fill(starts, steps, width, batch, data.positions.dtype)

        def chunk(starts):
            (starts,) = split_over_devices((starts,), mesh)
            history, target = gather_windows(data.positions, starts, *shape)
            return per_window_mse(predict_windows(model, variables, data, history), target)

        errors = jax.lax.map(chunk, filled)
        return errors[:, : min(batch, count)].reshape(-1)[:count]

    return errors_fn


def _layout(count: int, batch: int, mesh: jax.sharding.Mesh | None) -> tuple[int, int]:
    """Steps per pass, and the width of a batch: a multiple of the number of devices."""
    devices = 1 if mesh is None else mesh.shape["data"]
    batch = min(batch, count)
    return math.ceil(count / batch), math.ceil(batch / devices) * devices


def _fill(starts, steps: int, width: int, batch: int, dtype) -> tuple[jax.Array, jax.Array]:
    """Starts as [steps, width] with weight one, filled up with the first windows at weight zero.

    Of a row, the first ``batch`` places are the batch's; the others make it a multiple of the devices.
    """
    count = starts.shape[0]
    batch = min(batch, count)
    place = jnp.arange(steps * batch).reshape(steps, batch)
    extra = jnp.broadcast_to(jnp.arange(width - batch), (steps, width - batch))
    rows = starts[jnp.concatenate([place, extra], axis=1) % count]
    return rows, jnp.pad((place < count).astype(dtype), ((0, 0), (0, width - batch)))
