"""That the assertions of symmetry can fail: faults, vacuous cases, and what they draw."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.equivariance import EDGE_INVARIANTS, VECTORS, relative

from estag_jax.graph import Graph
from estag_jax.models.estag import EstagConfig
from estag_jax.ops.geometry import centre, gram
from estag_jax.ops.segment import at_senders, sum_at_receivers
from estag_jax.testing import (
    KINDS,
    assert_equivariant,
    assert_invariant,
    random_graph,
    random_symmetry,
    random_window,
    randomize,
)

pytestmark = pytest.mark.usefixtures("_x64_does_not_leak")


# Negative controls: functions with one fault each, which the assertion has to find.


def honest(x, f, g):
    """A simple equivariant function of past, neighbours and features."""
    last = x[:, :, -1]
    distance = jnp.sqrt(1 + gram(relative(x, g)[:, :, -1], normalize=False)[..., :1, None])
    gate = at_senders(f[..., :1, None], g) / distance
    message = sum_at_receivers(gate * relative(x, g)[:, :, -1], g)
    return last + 0.3 * (last - x[:, :, 0]) + 0.1 * message


def constant_vector(x, f, g):
    return honest(x, f, g) + jnp.array([0.1, 0.0, 0.0])


def small_constant_vector(x, f, g):
    return honest(x, f, g) + jnp.array([5e-4, 0.0, 0.0])


def absolute_position(x, f, g):
    return honest(x, f, g) * 1.001


def handed(x, f, g):
    step = x[:, :, -1] - x[:, :, 0]
    return honest(x, f, g) + 0.1 * jnp.cross(step, sum_at_receivers(relative(x, g)[:, :, -1], g))


def node_index(x, f, g):
    step = x[:, :, -1] - x[:, :, 0]
    return honest(x, f, g) + 0.01 * jnp.arange(x.shape[1])[:, None, None] * step


def edge_index(x, f, g):
    message = jnp.arange(g.num_edges)[:, None, None] * relative(x, g)[:, :, -1]
    return honest(x, f, g) + 0.01 * sum_at_receivers(message, g)


@pytest.fixture
def data():
    history, features = random_window(1, 5, 4, channels=2)
    return history, features, random_graph(2, 5, edge_width=1)


def test_the_honest_function_passes(data):
    assert_equivariant(honest, *data)
    with jax.enable_x64(True):
        history, features, graph = data
        assert_equivariant(honest, history.astype(float), features.astype(float), graph)


FAULTS = [
    (constant_vector, "rotation", ("translation", "permutation")),
    (small_constant_vector, "rotation", ("translation", "permutation")),
    (absolute_position, "translation", ("rotation", "reflection", "permutation")),
    (handed, "reflection", ("rotation", "translation", "permutation")),
    (node_index, "permutation", ("rotation", "reflection", "translation")),
    (edge_index, "permutation", ("rotation", "reflection", "translation")),
]


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    "fault, found_by, missed_by", FAULTS, ids=lambda a: getattr(a, "__name__", str(a))
)
def test_faults_are_found(data, fault, found_by, missed_by, x64):
    history, features, graph = data
    dtype = np.float64 if x64 else np.float32
    data = history.astype(dtype), features.astype(dtype), graph
    with jax.enable_x64(x64):
        with pytest.raises(AssertionError, match=f"^{found_by}, near.*relative error.*exceeds"):
            assert_equivariant(fault, *data)
        with pytest.raises(AssertionError, match="^all, "):
            assert_equivariant(fault, *data, kinds=("all",), key=1)
        # The fault is the one that it is meant to be.
        assert_equivariant(fault, *data, kinds=missed_by)


def test_far_from_the_origin_counts(data):
    def rounds(x, f, g):
        # Loses digits only where coordinates are large, as a product in reduced precision does.
        return honest(x, f, g) + jnp.where(jnp.abs(x).max() > 50, x[:, :, -1] % 0.02, 0)

    with pytest.raises(AssertionError, match="rotation, 100 units away"):
        assert_equivariant(rounds, *data)


def test_an_acting_clamp_is_found(data):
    config = EstagConfig(hidden=4, clamp=0.02)
    model = config.build()
    variables = randomize(jax.eval_shape(model.init, jax.random.key(0), *data))
    with pytest.raises(AssertionError, match="^rotation, near the origin"):
        assert_equivariant(jax.jit(partial(model.apply, variables)), *data)


def velocity(x, f, g):
    return 2 * x[:, :, -1] - x[:, :, 0]


VACUOUS = {
    "the last frame": lambda x, f, g: x[:, :, -1],
    "ignores all past": lambda x, f, g: x[:, :, -1] + sum_at_receivers(relative(x, g)[:, :, -1], g),
    "no other": velocity,
    # Neighbours enter through the centroid, not through edges.
    "ignores the edges": lambda x, f, g: velocity(x, f, g) + 0.1 * (x - centre(x, g))[:, :, -1],
    "non-finite": lambda x, f, g: x[:, :, -1] / (x[:, :, -1] - x[:, :, -1]),
    "expected": lambda x, f, g: honest(x, f, g)[:, :, :1],
    "type": lambda x, f, g: honest(x, f, g).astype(jnp.float16),
}


@pytest.mark.parametrize("message", VACUOUS)
def test_vacuous_functions_are_refused(data, message):
    with pytest.raises(AssertionError, match=message):
        assert_equivariant(VACUOUS[message], *data)


def test_vacuous_data_are_refused(data):
    history, features, graph = data
    nothing = Graph([], [], 5)
    loops = Graph(np.arange(5), np.arange(5), 5)
    for empty in (nothing, loops):
        with pytest.raises(AssertionError, match="no edge joins"):
            assert_equivariant(velocity, history, features, empty)
    with pytest.raises(AssertionError, match="nothing moves"):
        assert_equivariant(honest, np.repeat(history[:, :, :1], 4, axis=2), features, graph)
    with pytest.raises(AssertionError, match="in a plane"):
        assert_equivariant(honest, history * np.float32([1, 1, 0]), features, graph)
    with pytest.raises(AssertionError, match="empty"):
        single = history[:, :, :1]
        assert_equivariant(VECTORS["edft"], single, features, graph, output="vectors")
    with pytest.raises(ValueError, match="float16"):
        assert_equivariant(honest, history.astype(np.float16), features, graph)
    with pytest.raises(AssertionError, match="x64"):
        assert_equivariant(honest, history.astype(np.float64), features, graph)


def test_faults_of_invariants_are_found(data):
    def unaligned(x, f, g):
        return EDGE_INVARIANTS["gram"](x, f, g) * jnp.arange(1, g.num_edges + 1)[:, None, None]

    with pytest.raises(AssertionError, match="permutation"):
        assert_invariant(unaligned, *data, over="edges")
    with pytest.raises(AssertionError, match="rotation"):
        assert_invariant(lambda x, f, g: relative(x, g), *data, over="edges")
    with pytest.raises(AssertionError, match="or zero"):
        assert_invariant(lambda x, f, g: 0 * f, *data)


@pytest.mark.parametrize("kind", KINDS)
def test_random_symmetries_are_what_they_are_called(kind):
    for seed in range(10):
        symmetry = random_symmetry(jax.random.key(seed), 3, kind)
        same = np.allclose(symmetry.matrix, np.eye(3))
        assert same == (kind in ("translation", "permutation"))
        np.testing.assert_allclose(symmetry.matrix @ symmetry.matrix.T, np.eye(3), atol=1e-14)
        if kind != "all":
            expected = -1 if kind == "reflection" else 1
            np.testing.assert_allclose(np.linalg.det(symmetry.matrix), expected, rtol=1e-14)
        length = 100 if kind in ("translation", "all") else 0
        np.testing.assert_allclose(np.linalg.norm(symmetry.translation), length)
        moved = (symmetry.permutation != np.arange(3)).any()
        assert moved == (kind in ("permutation", "all"))
    with pytest.raises(ValueError, match="expected one of rotation"):
        random_symmetry(0, 3, "turn")


def test_random_graphs():
    for seed in range(20):
        graph = random_graph(seed, 6, density=0.1 * (seed % 11), isolated=2, edge_width=3)
        ends = set(zip(graph.senders[0].tolist(), graph.receivers[0].tolist(), strict=True))
        assert 1 <= len(ends) == graph.num_edges <= 12
        assert all(i != j for i, j in ends)
        assert len({node for edge in ends for node in edge}) <= 4
        assert graph.edge_features.shape == (1, graph.num_edges, 3)
    with pytest.raises(ValueError, match="no edge is possible"):
        random_graph(0, 3, isolated=2)


def test_edge_values_follow_their_edges():
    graph = random_graph(0, 6)
    names = 10 * graph.receivers + graph.senders
    symmetry = random_symmetry(1, 6, "permutation")
    turned = symmetry.on_graph(graph)
    old = symmetry.permutation
    np.testing.assert_array_equal(
        symmetry.on_edges(names, graph), 10 * old[turned.receivers] + old[turned.senders]
    )


def test_randomize_keeps_shapes_and_dtypes():
    tree = {"a": jnp.zeros((3, 4)), "b": [np.zeros(0, np.float64), jnp.ones((), jnp.bfloat16)]}
    once, again, other = randomize(tree, 1), randomize(tree, 1), randomize(tree, 2)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), once) == jax.tree.map(
        lambda a: (a.shape, a.dtype), tree
    )
    np.testing.assert_array_equal(once["a"], again["a"])
    assert (once["a"] != other["a"]).all()
