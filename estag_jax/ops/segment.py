"""Between nodes and edges: the one place that knows the layout of graphs and their masks.

Values have a leading axis that is B, or 1 where all windows share them; graphs have G = 1 or B. The
result's leading axis is the larger of the two. On a part of a graph (ops.halo) ``at_senders`` fetches
values of other parts and ``mean_over_nodes`` is over all parts; the rest is local, for a part has all
edges that end at its nodes. Edges are sorted by receiver (Graph keeps them so), which the sums make use
of. Products with [E, N] indicator matrices, the obvious alternative for small graphs, were measured: the
training step on aspirin was 1.1 times slower with them on two CPU cores (benchmarks/train_step.py times
the step).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.ops.halo import over_parts, with_halo


def at_receivers(nodes: jax.Array, graph: Graph) -> jax.Array:
    """Node values [B, N, ...] at the receiving end of every edge [B, E, ...]."""

    def gather(values, index):
        return values.at[index].get(mode="clip", indices_are_sorted=True)

    return by_window(gather, nodes, graph.receivers)


def at_senders(nodes: jax.Array, graph: Graph) -> jax.Array:
    """Node values [B, N, ...] at the sending end of every edge [B, E, ...]."""
    nodes = with_halo(jnp.asarray(nodes), graph.halo)
    return by_window(lambda values, index: values.at[index].get(mode="clip"), nodes, graph.senders)


def sum_at_receivers(edges: jax.Array, graph: Graph) -> jax.Array:
    """Sum of edge values at their receiving node, zero for a node that receives none.

    Args:
      edges: [B, E, ...]; padding edges do not count.
      graph: gives the receivers and N.

    Returns:
      [B, N, ...].
    """

    def total(values, receivers):
        return jax.ops.segment_sum(values, receivers, graph.num_nodes, indices_are_sorted=True)

    return by_window(total, _real(edges, graph.edge_mask, 0), graph.receivers)


def mean_at_receivers(edges: jax.Array, graph: Graph) -> jax.Array:
    """Mean of edge values at their receiving node, zero for a node that receives none.

    Args:
      edges: [B, E, ...]; padding edges do not count.
      graph: gives the receivers and N.

    Returns:
      [B, N, ...].
    """
    return over_degree(sum_at_receivers(edges, graph), graph)


def over_degree(sums: jax.Array, graph: Graph) -> jax.Array:
    """Sums at receivers [B, N, ...] divided by the number of edges that end there, if any."""
    ones = jnp.ones((graph.num_graphs, graph.num_edges), sums.dtype)
    degree = _trailing(sum_at_receivers(ones, graph), sums.ndim)
    return sums / jnp.maximum(degree, 1)


def softmax_at_receivers(scores: jax.Array, graph: Graph) -> jax.Array:
    """Softmax over the edges that end at the same node.

    Args:
      scores: [B, E, ...]; padding edges get the weight zero.
      graph: gives the receivers and N.

    Returns:
      [B, E, ...], for every receiver adding up to one.
    """

    def largest(values, receivers):
        return jax.ops.segment_max(values, receivers, graph.num_nodes, indices_are_sorted=True)

    # Any shift cancels, so the largest score need not be differentiated.
    top = by_window(largest, jax.lax.stop_gradient(scores), graph.receivers)
    weights = _real(jnp.exp(scores - at_receivers(top, graph)), graph.edge_mask, 0)
    total = at_receivers(sum_at_receivers(weights, graph), graph)
    return weights / jnp.where(total > 0, total, 1)


def mean_over_nodes(
    values: jax.Array, graph: Graph, axes: tuple[int, ...] = (), keepdims: bool = False
) -> jax.Array:
    """Mean over the real nodes of every window, and over further axes.

    Args:
      values: [B, N, ...].
      graph: its node mask, if it has one, says which nodes are real.
      axes: axes besides 1 to average over.
      keepdims: as in jnp.mean.

    Returns:
      [B, ...] without the averaged axes.
    """
    axes = (1, *axes)
    if graph.node_mask is None:
        return jnp.mean(values, axis=axes, keepdims=keepdims)
    real = _trailing(jnp.asarray(graph.node_mask), values.ndim)
    if graph.halo is None:
        return jnp.mean(values, axis=axes, keepdims=keepdims, where=real)
    total = jnp.sum(values, axis=axes, keepdims=keepdims, where=real)
    count = jnp.sum(jnp.broadcast_to(real, values.shape), axis=axes, keepdims=keepdims)
    return over_parts(total, graph.halo) / over_parts(count, graph.halo)


def real_nodes(values: jax.Array, graph: Graph) -> jax.Array:
    """Node values [B, N, ...] with zeros at padding nodes."""
    return _real(values, graph.node_mask, 0)


def by_window(
    function: Callable[[jax.Array, jax.Array], jax.Array], values: jax.Array, index: jax.Array
) -> jax.Array:
    """The function of values [B, ...] and indices [G, E], window by window; B or G may be 1."""
    values, index = jnp.asarray(values), jnp.asarray(index)
    if index.shape[0] == 1:
        return jax.vmap(function, in_axes=(0, None))(values, index[0])
    if values.shape[0] == 1:
        return jax.vmap(function, in_axes=(None, 0))(values[0], index)
    return jax.vmap(function)(values, index)


def _real(values: jax.Array, mask: jax.Array | None, fill: float) -> jax.Array:
    return values if mask is None else jnp.where(_trailing(mask, values.ndim), values, fill)


def _trailing(mask: jax.Array, ndim: int) -> jax.Array:
    """[G, N] as [G, N, 1, …], to be broadcast against values of ``ndim`` axes."""
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))
