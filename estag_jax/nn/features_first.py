"""SpatialModule and TemporalModule in the layout of ops.features_first: what a CPU runs in their place.

The equations, parameters and results are those of nn.messages and nn.temporal; the arrays are
[H, N, T * B] in messages and [H, T, N * B] in attention. ``serves`` is the one rule that says when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.nn.linear import ACTIVATIONS
from estag_jax.ops.chunks import edges_at_once
from estag_jax.ops.features_first import (
    alone,
    biased,
    difference,
    exchanged,
    flat,
    joined,
    product,
    products,
    rows,
    softmax,
    total_at_receivers,
    weighted,
)

MOST = 32
"""Past frames T, and hidden features H in units of 2, up to which sums are written out term by term."""


def serves(config: Any, x: jax.Array, graph: Graph) -> bool:
    """Whether the layers are computed features first.

    On a single CPU device, for windows that share one graph without padding, with all edges at once and few
    frames. On other devices, with masks, chunks of edges or bfloat16 the modules are used.

    Args:
      config: of ESTAG, ST_EGNN or EGNN.
      x: history [B, N, T, C, 3].
      graph: the edges.
    """
    edges, past = graph.num_edges, x.shape[2]
    return (
        jax.default_backend() == "cpu"
        and jax.device_count() == 1
        and graph.num_graphs == 1
        and graph.node_mask is None
        and graph.edge_mask is None
        and graph.halo is None
        and not config.bfloat16_features
        and config.layers > 0
        and 0 < past <= MOST
        and config.hidden <= 2 * MOST
        and 0
        < edges
        == edges_at_once(edges, past, config.hidden, x.dtype.itemsize, config.edges_at_once)
    )


def hastened(module: nn.Module) -> nn.Module:
    """The module as training and evaluation call it: by its fast path, if it has one.

    That of ESTAG, ST_EGNN and EGNN gives the same result, without forward-mode derivatives.
    """
    return module.clone(features_first=True) if hasattr(module, "features_first") else module


def by_fast_path(function: Callable[[nn.Module], Any], module: nn.Module) -> Any:
    """What a function makes of the hastened module; of the module itself where it takes jax.jvp of it."""
    try:
        return function(hastened(module))
    except (TypeError, NotImplementedError) as error:
        # What jax says of forward mode, and of the gradient of what forward mode gives.
        if not any(words in str(error) for words in ("forward-mode", "custom_lin")):
            raise
        return function(module)


def run_layers(
    config: Any,
    params: Mapping[str, Any],
    h: jax.Array,
    x: jax.Array,
    graph: Graph,
    edge_features: Sequence[jax.Array],
    node_features: jax.Array | None,
) -> jax.Array:
    """The moved frames [B, N, T, C, 3] after all pairs of spatial and temporal modules.

    Args:
      config: of ESTAG, ST_EGNN or EGNN.
      params: of the modules, spatial_0, temporal_0, …
      h: [1, N, T, H].
      x: [B, N, T, C, 3].
      graph: one, without masks.
      edge_features: parts [B, E, F] or [1, E, F], the same in every frame.
      node_features: [B, N, F], likewise, or None.
    """
    windows, nodes, past, channels, _ = x.shape
    x = _moved_axes(x.reshape(windows, nodes, past, 3 * channels), (3, 1, 2, 0))
    h = jnp.broadcast_to(h, (windows, *h.shape[1:]))
    h = flat(_moved_axes(h, (3, 1, 2, 0)))
    edges = [_in_every_frame(part.astype(x.dtype), windows, past) for part in edge_features]
    edges = [part.reshape(*part.shape[:2], -1) for part in edges]
    every = [] if node_features is None else [_in_every_frame(node_features, windows, past)]
    ends = jnp.asarray(graph.receivers)[0], jnp.asarray(graph.senders)[0]
    by_node, by_frame = (nodes, past, windows), (past, nodes, windows)
    for i in range(config.layers):
        x = x.reshape(3 * channels, nodes, past * windows)
        h, x = _spatial(config, params[f"spatial_{i}"], h, x, ends, edges, every)
        if config.attention:
            h, x = exchanged(h, by_node), exchanged(flat(x), by_node)
            h, x = _temporal(config, params[f"temporal_{i}"], h, x, past)
            h, x = exchanged(h, by_frame), exchanged(x, by_frame)
    x = _moved_axes(x.reshape(3 * channels, nodes, past, windows), (3, 1, 2, 0))
    return x.reshape(windows, nodes, past, channels, 3)


_moved_axes = alone(jnp.transpose, (1,))


@partial(alone, static=(1, 2))
def _in_every_frame(values, windows, past):
    """Values [B or 1, E, F] that are the same in every frame, as [F, E, T, B]."""
    values = values.transpose(2, 1, 0)[:, :, None]
    return jnp.broadcast_to(values, (*values.shape[:2], past, windows))


def _linear(params, values):
    out = product(params["kernel"], values)
    return biased(out, params["bias"]) if "bias" in params else out


def _perceptron(activation, params, values):
    return _linear(params["layer_1"], activation(_linear(params["layer_0"], values)))


def _spatial(config, params, h, x, ends, edge_features, node_features):
    """nn.messages.SpatialModule: h [H, N * M] and x [3 C, N, M] after one round of messages."""
    hidden, (_, nodes, last), edges = len(h), x.shape, len(ends[0])
    activation = ACTIVATIONS[config.activation]

    def by_edge(values):
        return values.reshape(-1, edges, last)

    x_ij = difference(x, *ends, nodes)
    own = _of_edges(x_ij, *edge_features)
    first = params["phi_m"]["layer_0"]
    of_receiver, of_sender, of_edge = _rows(first["kernel"], (hidden, hidden, len(own)))
    at_receiver = biased(product(of_receiver, h), first["bias"]).reshape(hidden, nodes, last)
    at_sender = product(of_sender, h).reshape(hidden, nodes, last)
    own = by_edge(product(of_edge, own))
    message = activation(flat(joined(own, at_receiver, at_sender, *ends, nodes)))
    message = activation(_linear(params["phi_m"]["layer_1"], message))
    gate = by_edge(_perceptron(activation, params["phi_x"], message))
    push = _push(x_ij, gate, config.unit_vectors, config.clamp)

    push = total_at_receivers(push, ends[0], nodes)
    if config.aggregate == "mean":
        degree = jax.ops.segment_sum(jnp.ones(edges, x.dtype), ends[0], nodes)
        push = push / jnp.maximum(degree, 1)[:, None]
    x = x + config.coordinate_weight * push
    given = [h, total_at_receivers(by_edge(message), ends[0], nodes), *node_features]
    first, last_layer = params["phi_h"]["layer_0"], params["phi_h"]["layer_1"]
    kernels = _rows(first["kernel"], [part.shape[0] for part in given])
    out = sum(product(k, part) for k, part in zip(kernels, given, strict=True))
    return h + _linear(last_layer, activation(biased(out, first["bias"]))), x


def _rows(kernel, widths):
    """The rows of a kernel that belong to the parts of an input."""
    starts = [sum(widths[:i]) for i in range(len(widths))]
    return [kernel[a : a + width] for a, width in zip(starts, widths, strict=True)]


@alone
def _of_edges(x_ij, *features):
    """The invariants of x_ij and the features of edges [F, E, M]: what is the edge's own of phi_m's input."""
    return jnp.concatenate([jnp.stack(_invariants(x_ij)), *features])


def _invariants(x_ij):
    """ops.geometry.gram of [3 C, E, M] as C * C rows [E, M]."""
    channels, x_ij = x_ij.shape[0] // 3, rows(x_ij)

    def scalar(c, d):
        return sum(x_ij[3 * c + i] * x_ij[3 * d + i] for i in range(3))

    if channels == 1:
        return [scalar(0, 0)]
    gram = {(c, d): scalar(c, d) for c in range(channels) for d in range(c + 1)}
    gram = [gram[max(c, d), min(c, d)] for c in range(channels) for d in range(channels)]
    square = sum(g * g for g in gram)
    positive = square > 0
    length = jnp.sqrt(jnp.where(positive, square, 1))
    return [jnp.where(positive, g / length, 0) for g in gram]


@partial(alone, static=(2, 3))
def _push(x_ij, gate, unit_vectors, clamp):
    """Coordinate messages [3 C, E, M] from x_ij and the gate [C, E, M]."""
    pushes, gate, x_ij = [], rows(gate), rows(x_ij)
    for channel in range(len(gate)):
        vector = x_ij[3 * channel : 3 * channel + 3]
        if unit_vectors:
            square = sum(v * v for v in vector)
            positive = square > 0
            length = jnp.sqrt(jnp.where(positive, square, 1))
            vector = [jnp.where(positive, v / length, 0) for v in vector]
        pushes += [v * gate[channel] for v in vector]
    push = jnp.stack(pushes)
    return push if clamp is None else jnp.clip(push, -clamp, clamp)


def _temporal(config, params, h, x, past):
    """nn.temporal.TemporalModule: h [H, T * M] and x [3 C, T * M] after one round of attention."""
    hidden, activation = h.shape[0], ACTIVATIONS[config.activation]

    def by_frame(values):
        return values.reshape(values.shape[0], past, -1)

    query, key, value = (_perceptron(activation, params[f"phi_{name}"], h) for name in "qkv")
    if config.activate_qkv:
        query, key, value = (activation(each) for each in (query, key, value))
    gate = by_frame(_perceptron(activation, params["phi_x"], value))
    alpha = softmax(products(by_frame(query), by_frame(key)), config.causal)
    x = by_frame(x)
    sums = weighted(alpha, _values(by_frame(value), gate, x))
    h, x = _moved(by_frame(h), sums, x, hidden, config.flip_time_difference)
    return flat(h), flat(x)


@alone
def _values(value, gate, x):
    """What is summed over s: v, g and g (x(s) - x(T-1)), relative to the last frame as in ops.attention."""
    gates, offset = rows(gate), rows(x - x[:, -1:])
    pushes = [gates[i // 3] * offset[i] for i in range(len(offset))]
    return jnp.concatenate([value, gate, jnp.stack(pushes)])


@partial(alone, static=(3, 4))
def _moved(h, sums, x, hidden, flip):
    """h and x after the update by the three sums."""
    offset, sums = rows(x - x[:, -1:]), rows(sums)
    of_gate, of_push = sums[hidden : -len(offset)], sums[-len(offset) :]
    update = jnp.stack([offset[i] * of_gate[i // 3] - of_push[i] for i in range(len(offset))])
    return h + jnp.stack(sums[:hidden]), x + (-update if flip else update)
