"""Lists of neighbours against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.ops.neighbours import allocate, update

RNG = np.random.default_rng(0)
APART = RNG.normal(size=(60, 3)) + 1e4 * np.repeat([0, 1], 30)[:, None]
PLACES = {
    "anywhere": RNG.uniform(-2, 2, (60, 3)),
    "in one place": np.zeros((5, 3)),
    "too far apart for small cells": APART,
    "one node": np.ones((1, 3)),
}


def pairs_of(graph):
    real = np.asarray(graph.edge_mask[0])
    return {
        (int(s), int(r)): float(length)
        for s, r, length in zip(
            np.asarray(graph.senders[0])[real],
            np.asarray(graph.receivers[0])[real],
            np.asarray(graph.edge_features[0, :, 0])[real],
            strict=True,
        )
    }


def brute_force(x, cutoff):
    apart = np.linalg.norm(x[:, None] - x[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return {
        (int(i), int(j)): apart[i, j] for i, j in zip(*np.nonzero(apart <= cutoff), strict=True)
    }


@pytest.mark.parametrize("x", PLACES.values(), ids=PLACES)
def test_neighbours_are_those_of_brute_force(x):
    with jax.enable_x64(True):
        neighbours = allocate(x, cutoff=1.0, skin=0.2)
        graph = neighbours.graph(jnp.asarray(x))
        expected = brute_force(x, 1.0)
        assert pairs_of(graph) == pytest.approx(expected) and not neighbours.overflow
        assert (np.diff(np.asarray(graph.receivers[0])) >= 0).all()
        assert graph.num_edges >= len(brute_force(x, 1.2))


def test_a_list_is_kept_until_a_node_has_moved_half_the_skin():
    x = PLACES["anywhere"].astype(np.float32)
    neighbours = allocate(x, cutoff=1.0, skin=0.4, capacity=2.0)
    follow = jax.jit(update)
    near, far = x.copy(), x.copy()
    near[7, 0] += 0.19
    far[7, 0] += 0.21
    assert follow(neighbours, near).builds == 1 and follow(neighbours, far).builds == 2
    # All the same, what is near is found: nodes may approach by half the skin each.
    moved = x + 0.19 * RNG.choice([-1, 1], x.shape).astype(np.float32) / np.sqrt(
        3, dtype=np.float32
    )
    kept = follow(neighbours, moved)
    assert kept.builds == 1
    assert set(pairs_of(kept.graph(jnp.asarray(moved)))) == set(brute_force(moved, 1.0))


def test_overflow_is_told_and_not_forgotten():
    x = PLACES["anywhere"].astype(np.float32)
    neighbours = allocate(x, cutoff=1.0, skin=0.2, capacity=1.0)
    assert not neighbours.overflow
    closer = update(neighbours, x / 2)
    assert closer.overflow and update(closer, x).overflow
    assert not update(allocate(x, 1.0, 0.2, capacity=20.0), x / 2).overflow
    for wrong in (
        dict(cutoff=0, skin=1),
        dict(cutoff=1, skin=0),
        dict(cutoff=1, skin=1, capacity=0.9),
    ):
        with pytest.raises(ValueError, match="must be positive"):
            allocate(x, **wrong)


def test_lengths_have_finite_gradients():
    x = np.zeros((3, 3), np.float32)  # nodes in one place
    neighbours = allocate(x, 1.0, 0.2, capacity=2.0)
    slope = jax.grad(lambda x: jnp.sum(neighbours.graph(x).edge_features))(jnp.asarray(x))
    assert np.isfinite(slope).all()
