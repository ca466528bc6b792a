"""The graph container."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estag_jax.graph import Graph, stack


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20), st.randoms())
def test_any_order_of_edges_gives_the_same_sorted_graph(edges, random):
    def graph(edges):
        ends = np.array(edges, int).reshape(-1, 2)
        return Graph(*ends.T, 6, (10.0 * ends[:, :1] + ends[:, 1:]))

    first = graph(edges)
    random.shuffle(edges)
    second = graph(edges)
    assert np.all(np.diff(first.receivers[0]) >= 0)
    for name in ("senders", "receivers", "edge_features"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    # Features went along with their edges.
    np.testing.assert_array_equal(first.edge_features[..., 0], 10 * first.senders + first.receivers)


def test_the_number_of_nodes_is_static_and_arrays_are_leaves():
    graph = Graph([1, 0], [0, 1], 3, np.ones((2, 4)))
    assert len(jax.tree.leaves(graph)) == 3
    assert jax.jit(lambda g: jnp.zeros(g.num_nodes))(graph).shape == (3,)
    built = jax.jit(lambda s, r: Graph(s, r, 3).receivers)(np.array([1, 0, 2]), np.array([2, 1, 0]))
    assert built.tolist() == [[0, 1, 2]]


def test_renaming_nodes_twice_back_and_forth_is_nothing():
    graph = Graph([0, 1, 2, 3], [1, 2, 3, 0], 4, np.arange(4.0)[:, None])
    order = np.array([2, 0, 3, 1])
    back = graph.permute(order).permute(np.argsort(order))
    for name in ("senders", "receivers", "edge_features"):
        np.testing.assert_array_equal(getattr(graph, name), getattr(back, name))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0, 1], [1], 2), "same shape"),
        (([0, 5], [1, 0], 2), "senders holds 5, outside 0 … 1"),
        (([0, 1], [1, -1], 2), "receivers holds -1"),
        (([0.0], [1.0], 2), "must be integers"),
        (([[[0]]], [[[1]]], 2), "must be integers of shape"),
        (([0], [1], 2, None, np.ones(3, bool)), r"node_mask has shape \(3,\), expected \[1, 2\]"),
        (([0], [1], 2, np.ones((2, 1))), r"edge_features has shape \(2, 1\), expected \[1, 1, F\]"),
    ],
)
def test_bad_graphs_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        Graph(*arguments)
    assert "\n" not in str(error.value)


def test_graphs_of_two_sizes_are_stacked_with_masks():
    small = Graph([0, 1], [1, 0], 2, np.array([[1.0], [2.0]]))
    large = Graph([0, 1, 2, 0], [1, 2, 0, 2], 3, np.arange(4.0)[:, None])
    both = stack([small, large])
    assert (both.num_graphs, both.num_nodes, both.num_edges) == (2, 3, 4)
    assert both.node_mask.tolist() == [[True, True, False], [True, True, True]]
    assert both.edge_mask.sum(axis=1).tolist() == [2, 4]
    # Padding edges join padding nodes, and the real ones are where they were.
    added = ~both.edge_mask[0]
    assert (both.receivers[0][added] == 2).all() and (both.senders[0][added] == 2).all()
    kept = both.edge_mask[0]
    np.testing.assert_array_equal(both.receivers[0][kept], small.receivers[0])
    np.testing.assert_array_equal(both.edge_features[0][kept], small.edge_features[0])
    np.testing.assert_array_equal(both.edge_features[1], large.edge_features[0])
    chosen = both.take(np.array([1, 0, 1]))
    assert chosen.num_graphs == 3 and chosen.senders[0].tolist() == both.senders[1].tolist()
    # A graph with fewer edges and as many nodes as the largest needs one node more.
    square, path = Graph([0, 1], [1, 0], 2), Graph([0], [1], 2)
    assert stack([square, path]).num_nodes == 3
    assert stack([square, square]).node_mask is None
    with pytest.raises(ValueError, match=r"different widths \[0, 1\]"):
        stack([small, square])


def test_padding_only_grows_and_needs_a_node_for_its_edges():
    graph = Graph([0, 1], [1, 0], 2)
    assert graph.pad(2, 2).node_mask.all()
    for size in ((1, 2), (2, 1), (2, 3)):
        with pytest.raises(ValueError, match="cannot pad"):
            graph.pad(*size)
    again = graph.pad(3, 4).pad(5, 5)
    assert again.node_mask.sum() == 2 and again.edge_mask.sum() == 2


def test_a_graph_without_edges():
    graph = Graph([], [], 3)
    assert (graph.num_graphs, graph.num_edges, graph.edge_width) == (1, 0, 0)
    assert graph.pad(4, 2).edge_mask.tolist() == [[False, False]]
