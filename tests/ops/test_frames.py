"""Local frames: axes that turn with three points, and backward differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estag_jax.ops.frames import SOFTENING, backward_differences, local_frames, sine
from estag_jax.testing.symmetry import random_symmetry


def points(count=50, seed=0):
    return np.random.default_rng(seed).normal(size=(3, count, 3))


def test_axes_are_right_handed_and_orthonormal():
    a, b, c = points()
    frames = local_frames(np, a, b, c)
    sines = sine(a, b, c)
    off = np.abs(frames @ np.swapaxes(frames, 1, 2) - np.eye(3)).max(axis=(1, 2))
    # e2 and e3 are short by the softening, ε² / (2 sin²) of their length.
    np.testing.assert_array_less(off, SOFTENING**2 / sines**2 + 1e-12)
    assert (np.linalg.det(frames) > 0.9).all()
    first = np.einsum("wx,wx->w", frames[:, 0], b - a)
    np.testing.assert_allclose(first, np.linalg.norm(b - a, axis=1))
    np.testing.assert_allclose(np.einsum("wx,wx->w", frames[:, 2], c - a), 0, atol=1e-12)
    assert (np.einsum("wx,wx->w", frames[:, 1], c - a) > 0).all()


@pytest.mark.parametrize("kind", ["rotation", "reflection"])
def test_axes_turn_and_the_third_is_a_pseudo_vector(kind):
    symmetry = random_symmetry(1, 3, kind)
    given = points()
    frames = local_frames(np, *given)
    moved = local_frames(np, *(given @ symmetry.matrix.T + 5.0))
    sign = np.array([1, 1, np.linalg.det(symmetry.matrix)])
    assert np.abs(moved - frames).max() > 0.5
    np.testing.assert_allclose(moved, sign[:, None] * (frames @ symmetry.matrix.T), atol=1e-10)


def test_degenerate_axes_are_zero_finite_and_reached_without_a_jump(x64):
    origin, along = np.zeros(3), np.array([1.0, 0, 0])
    exact = local_frames(np, origin, along, 2 * along)
    np.testing.assert_array_equal(exact, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(local_frames(np, origin, origin, origin), np.zeros((3, 3)))
    np.testing.assert_array_equal(local_frames(np, origin, origin, along)[0], np.zeros(3))
    before = exact
    for angle in np.geomspace(1e-12, 1e-2, 60):
        bent = local_frames(np, origin, along, np.array([np.cos(angle), np.sin(angle), 0]))
        assert np.abs(bent - before).max() < 0.25
        before = bent
    assert bent[1, 1] > 0.99
    for second in (2 * along, np.zeros(3)):
        slope = jax.jacfwd(lambda c: local_frames(jnp, jnp.zeros(3), jnp.asarray(along), c))(
            jnp.asarray(second)
        )
        assert np.isfinite(slope).all()


def test_numpy_and_jax_agree(x64):
    given = points()
    expected = local_frames(np, *given)
    np.testing.assert_allclose(jax.jit(lambda *p: local_frames(jnp, *p))(*given), expected)


def test_sine_is_that_of_the_angle():
    angles = np.linspace(0, np.pi, 20)
    turned = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    found = sine(np.zeros(3), np.array([3.0, 0, 0]), 2 * turned)
    np.testing.assert_allclose(found, np.sin(angles), atol=1e-12)
    assert sine(np.zeros(3), np.zeros(3), np.ones(3)) == 0


@pytest.mark.parametrize("past", [1, 2, 7, 10])
def test_backward_differences_are_those_of_numpy(past):
    x = np.random.default_rng(0).normal(size=(2, past, 1, 3))
    expected = [np.diff(x, m, axis=1)[:, -1] for m in range(past)]
    for xp in (np, jnp):
        found = backward_differences(xp, x)
        np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-4, atol=1e-4)
