"""Bond lengths restored: against constraints solved by least squares, and their symmetries and slopes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from estag_jax.ops.constraints import bond_groups, limit_lengths, limit_steps, restore_lengths
from estag_jax.testing import random_symmetry

BONDS = np.array([[0, 1], [1, 2], [2, 3], [1, 4], [4, 5], [0, 6]])
GROUPS = bond_groups(BONDS)


def frames(batch=4, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(batch, 7, 3)) * 2
    return reference + 0.1 * rng.normal(size=reference.shape), reference


def lengths(x):
    return np.linalg.norm(x[..., BONDS[:, 0], :] - x[..., BONDS[:, 1], :], axis=-1)


def test_groups_hold_every_bond_once_and_share_no_node():
    assert sorted(map(tuple, np.concatenate(GROUPS))) == sorted(map(tuple, BONDS))
    for group in GROUPS:
        assert len(set(group.ravel())) == group.size
    assert len(GROUPS) == 3  # node 1 has three bonds


def test_lengths_are_those_of_the_reference_and_little_else_changes():
    moved, reference = frames()
    found = restore_lengths(moved, reference, GROUPS)
    off = np.abs(lengths(moved) - lengths(reference)).max()
    assert np.abs(lengths(found) - lengths(reference)).max() < 1e-3 * off
    # Ends move oppositely, so the centroid stays.
    np.testing.assert_allclose(found.mean(1), moved.mean(1), atol=1e-12)
    assert restore_lengths(moved, reference, GROUPS, sweeps=0) is not None
    np.testing.assert_array_equal(restore_lengths(moved, reference, GROUPS, sweeps=0), moved)


def test_the_result_is_near_the_nearest_frame_with_these_lengths():
    moved, reference = frames(batch=1)
    want = lengths(reference)[0]

    def distance(x):
        return ((x - moved.ravel()) ** 2).sum()

    bonds = {"type": "eq", "fun": lambda x: lengths(x.reshape(7, 3)) - want}
    nearest = minimize(distance, moved.ravel(), constraints=[bonds], options={"maxiter": 500})
    assert nearest.success
    found = distance(restore_lengths(moved, reference, GROUPS)[0].ravel())
    assert nearest.fun <= found * (1 + 1e-6) and found < 1.1 * nearest.fun


def test_one_bond_is_corrected_at_both_ends():
    found = restore_lengths(
        np.array([[0.0, 0, 0], [4.0, 0, 0]]),
        np.array([[0, 0, 0], [0, 2.0, 0]]),
        bond_groups([[0, 1]]),
    )
    np.testing.assert_allclose(found, [[1, 0, 0], [3, 0, 0]], atol=1e-12)


def test_ends_in_one_place_stay_and_everything_is_finite(x64):
    moved, reference = frames()
    moved[0, 1] = moved[0, 0]
    alone = bond_groups(BONDS[:1])
    np.testing.assert_array_equal(restore_lengths(moved, reference, alone)[0], moved[0])
    slope = jax.grad(lambda x: restore_lengths(x, reference, GROUPS).sum())(jnp.asarray(moved))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_it_turns_with_both_frames(kind):
    moved, reference = frames()
    symmetry = random_symmetry(1, 7, kind)
    found = restore_lengths(symmetry.on_positions(moved), symmetry.on_positions(reference), GROUPS)
    expected = symmetry.on_positions(restore_lengths(moved, reference, GROUPS))
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_jax_numpy_and_slopes_agree(x64):
    moved, reference = frames()
    plain = restore_lengths(moved, reference, GROUPS)
    run = jax.jit(lambda x, r: restore_lengths(x, r, GROUPS))
    np.testing.assert_allclose(run(moved, reference), plain, atol=1e-12)
    mapped = jax.vmap(lambda x, r: restore_lengths(x, r, GROUPS))(moved, reference)
    np.testing.assert_allclose(mapped, plain, atol=1e-12)
    weights = np.random.default_rng(2).normal(size=moved.shape)
    towards = np.random.default_rng(3).normal(size=moved.shape)

    def value(x):
        return (weights * restore_lengths(x, reference, GROUPS)).sum()

    slope = (jax.grad(value)(jnp.asarray(moved)) * towards).sum()
    step = 1e-6 * towards
    expected = (value(moved + step) - value(moved - step)) / 2e-6
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


@pytest.mark.parametrize("xp", [np, jnp])
def test_limits_bring_back_what_is_outside_to_the_nearest_length(xp, x64):
    frame = np.array([[[0.0, 0, 0], [length, 0, 0]] for length in (0.5, 1.1, 2.0)])
    found = limit_lengths(xp.asarray(frame), [np.array([[0.9, 1.4]])], [np.array([[0, 1]])])
    expected = [[-0.2, 0.7], [0.0, 1.1], [0.3, 1.7]]
    np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-12)
    np.testing.assert_array_equal(found[1], frame[1])
    last = np.array([[1.0, 1, 0], [0, 0, 0]])
    ahead = last + [[3, 4, 0], [0, 0, 0.5]]
    steps = limit_steps(xp.asarray(ahead), last, np.ones(2))
    np.testing.assert_allclose(steps, [[1.6, 1.8, 0], [0, 0, 0.5]], atol=1e-12)
    still = jax.grad(lambda x: limit_steps(x, last, np.ones(2)).sum())(jnp.asarray(last))
    np.testing.assert_array_equal(still, np.ones((2, 3)))
