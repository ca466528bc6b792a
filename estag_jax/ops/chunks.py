"""Functions of edges computed a chunk of edges at a time, in memory that does not grow with the edges.

A network keeps dozens of arrays of E * T * H numbers for a gradient. Here a chunk's are computed, summed at
the receivers and forgotten; the gradient computes them again, chunk by chunk. Sums are added in place, so
that time stays linear in the edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from estag_jax.graph import Graph
from estag_jax.ops.halo import differing, with_halo
from estag_jax.ops.segment import by_window

CPU = 2**26, 2**20
"""Bytes of an array of E * T * H numbers up to which all edges of a window are computed at once, and bytes of
a chunk's, of which a CPU's cache holds about 30 (benchmarks/scaling.py)."""

DEVICE = 2**28, 2**26
"""The same on an accelerator: models.memory allows 2 GiB for 35 such arrays. Not measured on one yet."""

EdgeFunction = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""From parameters, node values at the receivers and at the senders [B, E, ...] and edge values [B, E, ...] to
values that are kept for every edge, and values that are summed at the receivers."""


def edges_at_once(
    edges: int, past: int, hidden: int, itemsize: int = 4, asked: int | None = None
) -> int:
    """How many edges of a window are computed at once, at most all: the rule of every network.

    Args:
      edges: E.
      past: T.
      hidden: H.
      itemsize: bytes of a number.
      asked: the setting, which goes before the rule.
    """
    if asked is not None:
        return min(asked, edges)
    whole, chunk = CPU if jax.default_backend() == "cpu" else DEVICE
    edge = past * hidden * itemsize
    return edges if edges * edge <= whole else max(1, chunk // edge)


def over_edges(
    function: EdgeFunction, params: Any, nodes: Any, edges: Any, graph: Graph, chunk: int
) -> tuple[Any, Any]:
    """A function of the edges, chunk by chunk; its gradient computes the chunks again.

    Reverse-mode differentiation only.

    Args:
      function: see EdgeFunction; closes over no arrays.
      params: arrays that all edges share.
      nodes: pytree of node values [B, N, ...] or [1, N, ...].
      edges: pytree of edge values [B, E, ...] or [1, E, ...].
      graph: the edges; padding edges have no part in the sums.
      chunk: edges at once.

    Returns:
      What is kept of every edge [B, E, ...], and the sums at the nodes [B, N, ...], zero for a node that
      receives none.
    """
    nodes = jax.tree.map(lambda values: with_halo(values, graph.halo), nodes)
    given = differing((params, nodes, edges), graph.halo)
    return _over_edges(function, *given, graph, chunk)


@partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def _over_edges(function, params, nodes, edges, graph, chunk):
    return _forward(function, params, nodes, edges, graph, chunk)[0]


def _forward(function, params, nodes, edges, graph, chunk):
    def called(part):
        receivers, senders, values = part
        return function(params, _at(nodes, receivers), _at(nodes, senders), values)

    def step(totals, part):
        kept, summed = called(part)
        return _added(totals, part[0], summed), kept

    parts = (*_indices(graph, chunk), _cut(edges, chunk))
    _, shapes = jax.eval_shape(called, jax.tree.map(lambda leaf: leaf[0], parts))
    totals = jax.tree.map(
        lambda sums: jnp.zeros((sums.shape[0], graph.num_nodes, *sums.shape[2:]), sums.dtype),
        shapes,
    )
    totals, kept = jax.lax.scan(step, differing(totals, graph.halo), parts)
    return (_joined(kept, graph.num_edges), totals), (params, nodes, edges, graph)


def _backward(function, chunk, residuals, slopes):
    params, nodes, edges, graph = residuals
    of_kept, of_totals = slopes

    def step(slopes, part):
        receivers, senders, values, of_part = part
        ends = _at(nodes, receivers), _at(nodes, senders)
        _, pullback = jax.vjp(function, params, *ends, values)
        more, at_receiver, at_sender, of_values = pullback((of_part, _at(of_totals, receivers)))
        of_params, of_nodes = slopes
        of_nodes = _added(_added(of_nodes, receivers, at_receiver), senders, at_sender)
        return (jax.tree.map(jnp.add, of_params, more), of_nodes), of_values

    parts = (*_indices(graph, chunk), _cut(edges, chunk), _cut(of_kept, chunk))
    # Sums over the edges of slopes of bfloat16 features are taken in float32.
    nothing = jax.tree.map(
        lambda v: jnp.zeros(v.shape, jnp.promote_types(v.dtype, jnp.float32)), (params, nodes)
    )
    nothing = differing(nothing, graph.halo)
    found, of_edges = jax.lax.scan(step, nothing, parts)
    of_both = jax.tree.map(lambda slope, v: slope.astype(v.dtype), found, (params, nodes))
    return *of_both, _joined(of_edges, graph.num_edges), None


_over_edges.defvjp(_forward, _backward)


def _indices(graph: Graph, chunk: int) -> tuple[jax.Array, jax.Array]:
    """Receivers and senders in chunks; a number that is no node's where an edge is padding."""
    receivers, nowhere = jnp.asarray(graph.receivers), graph.num_nodes
    nowhere += 0 if graph.halo is None else graph.halo.size
    if graph.edge_mask is not None:
        receivers = jnp.where(graph.edge_mask, receivers, nowhere)
    return _cut(receivers, chunk, nowhere), _cut(graph.senders, chunk, nowhere)


def _cut(edges: Any, chunk: int, fill: int = 0) -> Any:
    """Edge values [B, E, ...] as [chunks, B, chunk, ...], filled up behind."""

    def cut(values):
        windows, count = values.shape[:2]
        chunks = max(1, math.ceil(count / chunk))
        width = [(0, 0), (0, chunks * chunk - count)] + [(0, 0)] * (values.ndim - 2)
        values = jnp.pad(values, width, constant_values=fill)
        return jnp.moveaxis(values.reshape(windows, chunks, chunk, *values.shape[2:]), 1, 0)

    return jax.tree.map(cut, edges)


def _joined(parts: Any, edges: int) -> Any:
    """Chunks [chunks, B, chunk, ...] as values of the edges [B, E, ...]."""

    def joined(values):
        values = jnp.moveaxis(values, 0, 1)
        return values.reshape(values.shape[0], -1, *values.shape[3:])[:, :edges]

    return jax.tree.map(joined, parts)


def _at(nodes: Any, index: jax.Array) -> Any:
    """Node values at the indices, zero where an index is that of no node."""

    def gather(values, index):
        return values.at[index].get(mode="fill", fill_value=0)

    return jax.tree.map(lambda values: by_window(gather, values, index), nodes)


def _added(totals: Any, index: jax.Array, values: Any) -> Any:
    """Totals [B, N, ...] plus values [B, chunk, ...] at the indices, of those that are nodes."""

    def add(total, index, more):
        return total.at[index].add(more.astype(total.dtype), mode="drop")

    def of_windows(total, more):
        if index.shape[0] == 1:
            return jax.vmap(add, in_axes=(0, None, 0))(total, index[0], more)
        if total.shape[0] == 1:  # windows of different graphs share the values
            return add(total[0], index.reshape(-1), more.reshape(-1, *more.shape[2:]))[None]
        return jax.vmap(add)(total, index, more)

    return jax.tree.map(of_windows, totals, values)
