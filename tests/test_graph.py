"""The graph container."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from estag_jax.types import Topology
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20), st.randoms())
def test_any_order_of_edges_gives_the_same_sorted_graph(edges, random):
    def graph(edges):
        ends = np.array(edges, int).reshape(-1, 2)
        return Topology(*ends.T, 6, (10.0 * ends[:, :1] + ends[:, 1:]))

    first = graph(edges)
    random.shuffle(edges)
    second = graph(edges)
    assert np.all(np.diff(first.receivers) >= 0)
    for name in ("senders", "receivers", "edge_features"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    # Features went along with their edges.
    np.testing.assert_array_equal(first.edge_features[:, 0], 10 * first.senders + first.receivers)


def test_the_number_of_nodes_is_static_and_arrays_are_leaves():
    graph = Topology([1, 0], [0, 1], 3, np.ones((2, 4)))
    assert len(jax.tree.leaves(graph)) == 3
    assert jax.jit(lambda g: jnp.zeros(g.num_nodes))(graph).shape == (3,)
    doubled = jax.vmap(lambda g: g.senders + 0)(jax.tree.map(lambda a: np.stack([a, a]), graph))
    assert doubled.shape == (2, 2)
    built = jax.jit(lambda s, r: Topology(s, r, 3).receivers)(
        np.array([1, 0, 2]), np.array([2, 1, 0])
    )
    assert built.tolist() == [0, 1, 2]


def test_renaming_nodes_twice_back_and_forth_is_nothing():
    graph = Topology([0, 1, 2, 3], [1, 2, 3, 0], 4, np.arange(4.0)[:, None])
    order = np.array([2, 0, 3, 1])
    back = graph.permute(order).permute(np.argsort(order))
    for name in ("senders", "receivers", "edge_features"):
        np.testing.assert_array_equal(getattr(graph, name), getattr(back, name))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0, 1], [1], 2), "same length"),
        (([0, 5], [1, 0], 2), "senders holds 5, outside 0 … 1"),
        (([0, 1], [1, -1], 2), "receivers holds -1"),
        (([0.0], [1.0], 2), "must be integers"),
        (([[0]], [[1]], 2), "must be integers of shape"),
        (([0], [1], 2, np.ones((2, 1))), r"edge_features has shape \(2, 1\), expected \[1, F\]"),
    ],
)
def test_bad_graphs_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        Topology(*arguments)
    assert "\n" not in str(error.value)
