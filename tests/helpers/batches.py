"""Systems of different sizes in one batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.graph import stack
from estag_jax.ops.segment import real_nodes


def together(*systems):
    """One batch of (history [1, N, T, C, 3], node_features [1, N, F], graph), padded with zeros."""
    histories, features, graphs = zip(*systems, strict=True)
    graph = stack(graphs)

    def joined(arrays):
        out = np.zeros((len(arrays), graph.num_nodes, *arrays[0].shape[2:]), arrays[0].dtype)
        for row, array in zip(out, arrays, strict=True):
            row[: array.shape[1]] = array[0]
        return out

    return joined(histories), joined(features), graph


def assert_systems_independent(model, variables, *systems):
    """In float64: outputs, and the parameters' gradients, are those of the systems one by one."""

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def gradient(variables, history, features, graph):
        out = model.apply(variables, history, features, graph)
        return jnp.sum(real_nodes(out, graph) ** 2), out

    found, out = gradient(variables, *together(*systems))
    expected = [gradient(variables, *system) for system in systems]
    for row, (_, alone) in zip(out, expected, strict=True):
        np.testing.assert_allclose(row[: alone.shape[1]], alone[0], atol=1e-12)
    total = jax.tree.map(lambda *parts: sum(parts), *(gradient for gradient, _ in expected))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), found, total)
