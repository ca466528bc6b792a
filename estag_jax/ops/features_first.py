"""Operations on arrays with the features first, the layout in which a CPU computes networks fastest.

Edges are [F, E, M], nodes [F, N, M] and frames of nodes [F, T, N * B], with M = T * B: features first,
windows last. A product with a kernel is one product of matrices then, and a loop over numbers has a long last
axis, which XLA's CPU backend vectorises; with the features last, 16 wide, an activation takes twice as long.

XLA fuses a gather, sum or transposition into the loops around it. The fused loop is slow where it ends in a
reshape, for its indices are divided to be found again, and where a sum is broadcast, for it is computed again
for each element. :func:`alone` keeps such functions by themselves. Functions whose gradient autodiff would
write as slow loops have a gradient of their own, made of the same functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

from estag_jax.ops.linalg import matmul


def alone(function: Callable[..., Any], static: Sequence[int] = ()) -> Callable[..., Any]:
    """The function, compiled as a call that XLA does not inline: nothing is fused into it or out of it.

    (optimization_barrier, which should do so, is dropped by XLA's CPU backend before it fuses.)

    Args:
      function: pure.
      static: its arguments that are not arrays.
    """
    compiled = jax.jit(function, static_argnums=static)

    @functools.wraps(function)
    def called(*arguments):
        with set_xla_metadata(inlineable="false"):
            return compiled(*arguments)

    return called


def flat(values: jax.Array) -> jax.Array:
    """[F, ...] as [F, M]."""
    return values.reshape(values.shape[0], -1)


def product(kernel: jax.Array, values: jax.Array) -> jax.Array:
    """Kernel [F, H] times values [F, ...], as [H, M]."""
    return matmul(kernel.T, flat(values))


@jax.custom_vjp
def biased(values: jax.Array, bias: jax.Array) -> jax.Array:
    """Values [H, M] plus a bias [H]. The gradient sums by a product, which is faster than a sum."""
    return values + bias[:, None]


def _biased_backward(_, slope):
    return slope, matmul(slope, jnp.ones(slope.shape[1], slope.dtype))


biased.defvjp(lambda values, bias: (biased(values, bias), None), _biased_backward)


@jax.custom_vjp
def rows(values: jax.Array) -> tuple[jax.Array, ...]:
    """The rows of [F, ...]. Autodiff would add up an array of zeros for each use of a row."""
    return tuple(values)


rows.defvjp(lambda values: (rows(values), None), lambda _, slopes: (jnp.stack(slopes),))


# Nodes and edges. The sums are those of ops.segment, node axis first, where they take 50 µs in place of 200.


def _at(values: jax.Array, index: jax.Array) -> jax.Array:
    return values.at[:, index].get(mode="promise_in_bounds")


def _summed(edges_first: jax.Array, index: jax.Array, nodes: int) -> jax.Array:
    return jax.ops.segment_sum(edges_first, index, nodes).swapaxes(0, 1)


def _both_sums(edges, receivers, senders, nodes):
    edges_first = edges.swapaxes(0, 1)
    return _summed(edges_first, receivers, nodes), _summed(edges_first, senders, nodes)


_gather = alone(_at)
_total = alone(lambda edges, index, nodes: _summed(edges.swapaxes(0, 1), index, nodes), (2,))
_totals = alone(_both_sums, (3,))
_difference = alone(lambda x, receivers, senders: _at(x, receivers) - _at(x, senders))
_joined = alone(
    lambda own, at_receiver, at_sender, receivers, senders: (
        own + _at(at_receiver, receivers) + _at(at_sender, senders)
    )
)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def total_at_receivers(edges: jax.Array, receivers: jax.Array, nodes: int) -> jax.Array:
    """Sum of edge values [F, E, M] at their receivers [F, N, M].

    Args:
      edges: [F, E, M].
      receivers: [E].
      nodes: N.
    """
    return _total(edges, receivers, nodes)


total_at_receivers.defvjp(
    lambda edges, receivers, nodes: (_total(edges, receivers, nodes), receivers),
    lambda nodes, receivers, slope: (_gather(slope, receivers), None),
)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def difference(x: jax.Array, receivers: jax.Array, senders: jax.Array, nodes: int) -> jax.Array:
    """x_i - x_j of every edge [F, E, M] from node values [F, N, M]."""
    del nodes  # N, for the gradient
    return _difference(x, receivers, senders)


def _difference_backward(nodes, ends, slope):
    at_receiver, at_sender = _totals(slope, *ends, nodes)
    return at_receiver - at_sender, None, None


difference.defvjp(lambda x, *ends: (difference(x, *ends), ends[:2]), _difference_backward)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def joined(
    own: jax.Array,
    at_receiver: jax.Array,
    at_sender: jax.Array,
    receivers: jax.Array,
    senders: jax.Array,
    nodes: int,
) -> jax.Array:
    """The sum at every edge of its own value, its receiver's and its sender's [H, E, M].

    Args:
      own: [H, E, M].
      at_receiver: node values [H, N, M].
      at_sender: node values [H, N, M].
      receivers: [E].
      senders: [E].
      nodes: N.
    """
    del nodes
    return _joined(own, at_receiver, at_sender, receivers, senders)


def _joined_forward(own, at_receiver, at_sender, receivers, senders, nodes):
    value = _joined(own, at_receiver, at_sender, receivers, senders)
    return value, (receivers, senders)


def _joined_backward(nodes, ends, slope):
    return slope, *_totals(slope, *ends, nodes), None, None


joined.defvjp(_joined_forward, _joined_backward)


# Frames of a node.


def _exchanged(values, shape):
    return values.reshape(values.shape[0], *shape).swapaxes(1, 2).reshape(values.shape[0], -1)


_exchange = alone(_exchanged, (1,))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def exchanged(values: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Values [F, M] of shape [F, *shape] with the first two axes of ``shape`` exchanged, as [F, M]."""
    return _exchange(values, shape)


exchanged.defvjp(
    lambda values, shape: (exchanged(values, shape), None),
    lambda shape, _, slope: (_exchange(slope, (shape[1], shape[0], shape[2])),),
)

# Sums that are written out, for XLA computes those of an axis that is not the last without vectors.
_products = alone(lambda q, k: sum(q[h, :, None] * k[h, None] for h in range(q.shape[0])))
_weighted = alone(lambda a, v: sum(a[:, s] * v[:, s, None] for s in range(a.shape[1])))
_weighted_back = alone(lambda a, v: sum(a[s] * v[:, s, None] for s in range(a.shape[0])))


@jax.custom_vjp
def products(query: jax.Array, key: jax.Array) -> jax.Array:
    """sum_h q_h(t) k_h(s) of [H, T, M] and [H, T, M], as [T, T, M] with axes t, s."""
    return _products(query, key)


products.defvjp(
    lambda query, key: (_products(query, key), (query, key)),
    lambda given, slope: (_weighted(slope, given[1]), _weighted_back(slope, given[0])),
)


@jax.custom_vjp
def weighted(alpha: jax.Array, values: jax.Array) -> jax.Array:
    """sum_s alpha(t, s) v(s) of weights [T, T, M] and values [F, T, M], as [F, T, M]."""
    return _weighted(alpha, values)


weighted.defvjp(
    lambda alpha, values: (_weighted(alpha, values), (alpha, values)),
    lambda given, slope: (_products(slope, given[1]), _weighted_back(given[0], slope)),
)


def _normalised(scores, causal):
    past = scores.shape[0]
    if causal:
        scores = jnp.where(np.tri(past, dtype=bool)[:, :, None], scores, -jnp.inf)
    top = functools.reduce(jnp.maximum, [scores[:, s] for s in range(past)])
    weights = jnp.exp(scores - top[:, None])
    return weights / sum(weights[:, s] for s in range(past))[:, None]


def _slope_of_scores(alpha, slope):
    mean = sum(alpha[:, s] * slope[:, s] for s in range(alpha.shape[1]))
    return alpha * (slope - mean[:, None])


_softmax, _softmax_back = alone(_normalised, (1,)), alone(_slope_of_scores)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def softmax(scores: jax.Array, causal: bool) -> jax.Array:
    """Softmax over s of scores [T, T, M] with axes t, s; ``causal``: over s <= t."""
    return _softmax(scores, causal)


def _softmax_forward(scores, causal):
    alpha = _softmax(scores, causal)
    return alpha, alpha


softmax.defvjp(_softmax_forward, lambda causal, alpha, slope: (_softmax_back(alpha, slope),))
