"""The softmax over the edges of a node against a loop."""

import jax
import numpy as np

from estag_jax.ops.segment import softmax_at_receivers
from estag_jax.testing import random_graph


def test_softmax_at_receivers(x64):
    graph = random_graph(0, 6, isolated=1)
    receivers = graph.receivers[0]
    scores = 300 * np.random.default_rng(0).normal(size=(2, graph.num_edges, 2))
    actual = softmax_at_receivers(scores, graph)
    for w, i in np.ndindex(2, 6):
        mine = receivers == i
        if mine.any():
            weights = np.exp(scores[w, mine] - scores[w, mine].max(0))
            np.testing.assert_allclose(actual[w, mine], weights / weights.sum(0), atol=1e-14)
    gradient = jax.grad(lambda s: softmax_at_receivers(s, graph)[0, 0, 0])(scores)
    assert np.isfinite(gradient).all() and not gradient[1].any()


def test_padding_edges_have_no_weight(x64):
    graph = random_graph(0, 6)
    edges = graph.num_edges
    scores = np.random.default_rng(0).normal(size=(2, edges + 3))
    padded = softmax_at_receivers(scores, graph.pad(8, edges + 3))
    np.testing.assert_array_equal(padded[:, edges:], 0)
    expected = softmax_at_receivers(scores[:, :edges], graph)
    np.testing.assert_allclose(padded[:, :edges], expected, atol=1e-15)
