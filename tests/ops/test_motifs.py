"""Motifs: lengths, and the nearest one and its turn by loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from estag_jax.ops.linalg import JAX, NUMPY
from estag_jax.ops.motifs import CANDIDATES, motif_lengths, nearest_motifs


def paths(count, frames=4, points=3, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(count, frames, points, 3)), axis=1)


def nearest(backend, queries, library):
    return nearest_motifs(backend, queries, library, motif_lengths(backend.xp, library))


def differences(motif):
    return (motif[:-1] - motif[-1]).reshape(-1, 3)


def test_lengths_are_how_far_points_get():
    (motif,) = paths(1)
    expected = [
        np.linalg.norm(motif[t, p] - motif[s, p])
        for t in range(4)
        for s in range(t + 1, 4)
        for p in range(3)
    ]
    np.testing.assert_allclose(motif_lengths(np, motif), expected)


@pytest.mark.parametrize("points", [1, 3])
def test_the_nearest_is_that_of_the_best_turn(points):
    library, queries = paths(CANDIDATES, points=points), paths(10, points=points, seed=1)
    which, turns = nearest(NUMPY, queries, library)
    for query, found, turn in zip(queries, which, turns, strict=True):
        d, best = differences(query), []
        for motif in library:
            q, _ = orthogonal_procrustes(differences(motif), d)
            best.append((np.linalg.norm(differences(motif) @ q - d), q))
        assert found == np.argmin([away for away, _ in best])
        np.testing.assert_allclose(turn, best[found][1], atol=1e-3)  # less where nearly flat
    again, same = nearest(JAX, jnp.asarray(queries), jnp.asarray(library))
    np.testing.assert_array_equal(again, which)
    np.testing.assert_allclose(same, turns, atol=2e-2)  # float32


def test_a_turned_motif_is_found_among_many():
    library, rng = paths(2000), np.random.default_rng(3)
    chosen = rng.permutation(2000)[:20]
    turn = np.linalg.qr(rng.normal(size=(20, 1, 3, 3)))[0]
    turn[::2] *= -1
    queries = library[chosen] @ turn + rng.normal(size=(20, 1, 1, 3))
    which, found = nearest(NUMPY, queries, library)
    np.testing.assert_array_equal(which, chosen)
    np.testing.assert_allclose(found, turn[:, 0], atol=1e-4)
    assert {-1, 1} == {*np.linalg.det(found).round()}


def test_directions_that_a_motif_lacks_fade():
    library = paths(5) * [1, 1, 0]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    (which,), (found,) = nearest(NUMPY, library[2:3] @ turn, library)
    assert which == 2
    np.testing.assert_allclose(found, np.diag([1, 1, 0]) @ turn, atol=1e-6)
    _, still = nearest(NUMPY, 0 * library[:1], library)
    np.testing.assert_array_equal(still, 0)


def test_turns_are_differentiated(x64):
    library, (query,) = jnp.asarray(paths(20)), paths(1, seed=1)
    towards = np.random.default_rng(2).normal(size=query.shape)

    @jax.jit
    def turn(query):
        return nearest(JAX, query[None], library)[1][0]

    push = jax.jit(lambda q, v: jax.jvp(turn, (q,), (v,))[1])
    found = push(jnp.asarray(query), jnp.asarray(towards))
    change = (turn(query + 1e-6 * towards) - turn(query - 1e-6 * towards)) / 2e-6
    assert np.abs(change).max() > 0.01
    np.testing.assert_allclose(found, change, atol=1e-6)
