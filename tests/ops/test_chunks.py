"""Edges in chunks against all at once: values and gradients in float64, and memory."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.baselines import make_data
from helpers.batches import together

from estag_jax.graph import Graph, stack
from estag_jax.models.estag import EstagConfig
from estag_jax.ops import chunks
from estag_jax.ops.chunks import edges_at_once, over_edges
from estag_jax.ops.segment import at_receivers, at_senders, real_nodes, sum_at_receivers
from estag_jax.testing import randomize

HUB = Graph([1, 2, 3, 4, 0, 2], [0, 0, 0, 0, 1, 4], 6)  # node 0 hears four, 5 has no edges
GRAPHS = {
    "hub": HUB,
    "no edges": Graph([], [], 3),
    "one a window, padded": stack([HUB, Graph([0, 1], [1, 2], 3)]),
}


def message(weight, receiver, sender, edges):
    """Not symmetric in the ends, not linear, and nonzero where all values are zero."""
    (a_i, b_i), (a_j, b_j) = receiver, sender
    m = jnp.cos(weight * a_i - 2 * a_j) * (1 + edges)
    return m * b_i, (m, jnp.sin(b_i * b_j) * m)


def at_once(params, nodes, edges, graph):
    ends = [[at(v, graph) for v in nodes] for at in (at_receivers, at_senders)]
    kept, summed = message(params, *ends, edges)
    return kept, jax.tree.map(lambda v: sum_at_receivers(v, graph), summed)


@pytest.mark.parametrize("shared", [False, True], ids=["windows differ", "values shared"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_chunks_are_all_at_once(graph, shared):
    rng = np.random.default_rng(0)
    windows = 1 if shared else 2
    nodes = tuple(rng.normal(size=(windows, graph.num_nodes, 3)) for _ in range(2))
    edges = rng.normal(size=(graph.num_graphs, graph.num_edges, 3))
    real = np.ones(1) if graph.edge_mask is None else graph.edge_mask[..., None]

    def figures(function, *arguments):
        kept, summed = function(*arguments)
        loss = sum(jnp.sum(jnp.sin(v + i)) for i, v in enumerate(summed)) + jnp.sum(real * kept**2)
        return loss, (real * kept, summed)

    with jax.enable_x64(True):
        values = jnp.float64(0.7), nodes, edges
        gradient = partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
        expected = gradient(partial(figures, partial(at_once, graph=graph)))(*values)
        for chunk in (1, 4):
            chunked = partial(over_edges, message, graph=graph, chunk=chunk)
            found = jax.jit(gradient(partial(figures, chunked)))(*values)
            jax.tree.map(
                partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12), found, expected
            )


@pytest.mark.parametrize("config", [EstagConfig, partial(EstagConfig.released, 4)])
def test_networks_in_chunks_are_the_plain_ones(config):
    config = config(hidden=4, layers=1, edges_at_once=10**9)
    channels = 1 if config.aggregate == "sum" else 4
    with jax.enable_x64(True):
        size = dict(channels=channels, past=4, dtype=np.float64)
        small, large = make_data(nodes=5, **size), make_data(nodes=7, isolated=2, key=8, **size)
        history, *inputs = together(small, large)
        plain = config.build()
        variables = randomize(jax.eval_shape(plain.init, jax.random.key(0), history, *inputs), 3)

        def figures(model, variables, history):
            out = real_nodes(model.apply(variables, history, *inputs), inputs[1])
            return jnp.sum(out**3), out

        def gradient(model):
            function = jax.value_and_grad(partial(figures, model), argnums=(0, 1), has_aux=True)
            return jax.jit(function)(variables, history)

        (_, expected), slopes = gradient(plain)
        (_, found), others = gradient(dataclasses.replace(config, edges_at_once=5).build())
        np.testing.assert_allclose(found, expected, atol=1e-12)
        size = max(np.abs(leaf).max() for leaf in jax.tree.leaves(slopes))
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12 * size), others, slopes)


def test_memory_is_that_of_a_chunk():
    graph = Graph(np.arange(20_000) % 100, np.arange(20_000) // 200, 100)
    nodes, edges = (np.ones((1, 100, 8), np.float32),) * 2, np.ones((1, 20_000, 1), np.float32)

    def bytes_of(function):
        def loss(nodes):
            return sum(jnp.sum(v) for v in function(np.float32(1), nodes, edges)[1])

        return jax.jit(jax.grad(loss)).lower(nodes).compile().memory_analysis().temp_size_in_bytes

    whole = bytes_of(partial(at_once, graph=graph))
    assert whole > 20_000 * 8 * 4
    chunked = partial(over_edges, message, graph=graph, chunk=500)
    assert bytes_of(chunked) < whole / 4


def test_the_rule_takes_all_edges_of_small_graphs(monkeypatch):
    assert edges_at_once(1700, past=10, hidden=16) == 1700
    for backend, (_, chunk) in (("cpu", chunks.CPU), ("gpu", chunks.DEVICE)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        many = edges_at_once(1_600_000, past=10, hidden=16)
        assert many * 10 * 16 * 4 <= chunk < (many + 1) * 10 * 16 * 4
    assert edges_at_once(10**9, past=10**4, hidden=10**3) == 1
    with pytest.raises(ValueError, match="edges_at_once is 0"):
        EstagConfig(edges_at_once=0)
