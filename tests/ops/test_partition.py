"""Graphs in parts: nothing is lost, against exchanging and summing in plain numpy."""

import numpy as np
import pytest

from estag_jax.graph import Graph
from estag_jax.ops.partition import bisect, split_graph


def graph(nodes=23, edges=90, seed=0):
    """Random edges; node 0 is a hub, the last node has none."""
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, nodes - 1, (edges, 2)), axis=0)
    pairs = np.concatenate([pairs, [[i, 0] for i in range(1, nodes - 1)]])
    return Graph(
        *np.unique(pairs, axis=0).T, nodes, np.arange(len(np.unique(pairs, axis=0)))[:, None]
    )


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8])
def test_every_edge_finds_the_value_of_its_sender(parts):
    whole = graph()
    rng = np.random.default_rng(1)
    split = split_graph(whole, bisect(rng.normal(size=(23, 3)), parts))
    values = rng.normal(size=(1, 23))
    local = split.spread(values).reshape(parts, -1)
    n = split.graph.num_nodes
    np.testing.assert_array_equal(split.collect(local.reshape(1, -1)), values)
    send = split.graph.halo.send[0].reshape(parts, parts, -1)
    edges = split.graph.num_edges // parts
    found = set()
    for p in range(parts):
        halo = [local[q, send[q, p]] for q in range(parts)]
        known = np.concatenate([local[p], *halo])
        real = split.graph.edge_mask[0, p * edges : (p + 1) * edges]
        senders, receivers = (
            a[0, p * edges : (p + 1) * edges][real]
            for a in (split.graph.senders, split.graph.receivers)
        )
        features = split.graph.edge_features[0, p * edges : (p + 1) * edges][real]
        assert (np.diff(receivers) >= 0).all() and receivers.max(initial=0) < n
        found |= set(zip(known[senders], local[p][receivers], features[:, 0], strict=True))
    expected = zip(
        values[0, whole.senders[0]],
        values[0, whole.receivers[0]],
        whole.edge_features[0, :, 0],
        strict=True,
    )
    assert found == set(expected)


def test_a_node_goes_to_a_part_once():
    ends = np.array([[0, 0, 0, 1], [2, 3, 2, 0]])  # node 0 is read by two nodes of the other part
    split = split_graph(Graph(*ends[:, :2], 4), np.array([0, 0, 1, 1]))
    assert split.graph.halo.send.shape == (1, 4, 1)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7])
def test_parts_are_boxes_of_equal_size(parts):
    x = np.random.default_rng(0).normal(size=(50, 3)) * [10, 1, 1]
    part = bisect(x, parts)
    counts = np.bincount(part, minlength=parts)
    assert counts.max() - counts.min() <= 1
    line = bisect(np.arange(50)[::-1, None] * [0, 1, 0], parts)
    assert (np.diff(line) <= 0).all()


def test_more_parts_than_nodes_are_refused():
    with pytest.raises(ValueError, match="3 nodes cannot be split into 4 parts; set mesh.nodes"):
        bisect(np.zeros((3, 3)), 4)
