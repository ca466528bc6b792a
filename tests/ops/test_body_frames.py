"""Frames of a body: Kabsch's rotation and the walking frame, their symmetry, and how they fade."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from estag_jax.ops.body_frames import (
    SLOW,
    mean_structure,
    nearly_degenerate,
    polar_frame,
    walking_frame,
)
from estag_jax.ops.linalg import JAX, NUMPY
from estag_jax.testing.symmetry import random_symmetry

LATERAL = np.array([[1.0], [-1.0], [0.5], [-0.5], [0.0]]) / 2
USUAL = np.array([3.0, 1.0])


def body(count=40, seed=0, channels=1):
    """A structure [5, C, 3], and windows [W, 5, 4, C, 3] of it, turned anyhow and a little deformed."""
    rng = np.random.default_rng(seed)
    corners = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2], [-1, -1, -1], [0, 0, 0]])
    mean = corners[:, None] + 0.3 * rng.normal(size=(5, channels, 3))
    turns = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    turns[::2] *= -1
    history = mean[None, :, None] + 0.1 * rng.normal(size=(count, 5, 4, channels, 3))
    drift = rng.normal(size=(count, 1, 1, 1, 3)) * np.arange(4)[:, None, None]
    return mean, np.einsum("wntcx,wyx->wntcy", history + drift, turns) + 7.0


def walking(history, up):
    return walking_frame(NUMPY, history, up, LATERAL, USUAL)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_polar_frame_is_the_rotation_of_least_squares(channels):
    mean, history = body(channels=channels)
    frames = polar_frame(NUMPY, history, mean + 3.0)  # any origin
    centred = history - history.mean(axis=(1, 3), keepdims=True)
    for frame, x in zip(frames[:10], centred[:10], strict=True):
        sign = np.sign(np.linalg.det(frame))  # scipy's is proper
        points = sign * np.moveaxis(x, 1, 0).reshape(-1, 3)
        m = np.tile((mean - mean.mean(axis=(0, 1))).reshape(-1, 3), (4, 1))
        best, _ = Rotation.align_vectors(m, points)
        np.testing.assert_allclose(sign * polar(frame)[0], best.as_matrix(), atol=1e-3)
    gram = frames @ np.swapaxes(frames, 1, 2)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-2)
    assert not nearly_degenerate(frames).any()
    assert {-1, 1} == {*np.sign(np.linalg.det(frames)).round()}


def test_the_walking_frame_has_up_heading_and_left():
    _, history = body()
    up = np.array([0, 0, 2.0])
    side, above, heading = np.moveaxis(walking(history, up), 1, 0)
    np.testing.assert_array_equal(above, np.tile([0, 0, 1.0], (40, 1)))
    centre = history.mean(axis=(1, 3))
    ahead = (centre[:, -1] - centre[:, 0]) * [1, 1, 0]
    length = np.linalg.norm(ahead, axis=1, keepdims=True)
    np.testing.assert_allclose(heading, ahead / np.hypot(length, SLOW * 3))
    left = np.einsum("nc,wncx->wx", LATERAL, history.mean(axis=2))
    assert (np.einsum("wx,wx->w", left, side) > 0).all()
    np.testing.assert_allclose(side[:, 2], 0, atol=1e-12)
    fast = length[:, 0] > 1
    np.testing.assert_allclose(np.einsum("wx,wx->w", side, heading)[fast], 0, atol=2e-3)


@pytest.mark.parametrize("kind", ["rotation", "reflection", "translation"])
def test_frames_turn_with_the_body_and_what_is_given(kind):
    mean, history = body()
    up = np.array([0.3, 0.1, 2.0])
    symmetry = random_symmetry(1, 5, kind)
    matrix = symmetry.matrix
    moved = history @ matrix.T + symmetry.translation
    polar, walk = polar_frame(NUMPY, history, mean), walking(history, up)
    if kind != "translation":
        assert np.abs(polar @ matrix.T - polar).max() > 0.5
        # Negative control: what is given must turn too.
        assert np.abs(walking(moved, up) - walk @ matrix.T).max() > 0.1
    np.testing.assert_allclose(polar_frame(NUMPY, moved, mean), polar @ matrix.T, atol=1e-10)
    np.testing.assert_allclose(walking(moved, up @ matrix.T), walk @ matrix.T, atol=1e-10)


def flattened(history, keep):
    """Without the extent along the last axes, of which so many are kept."""
    return history * (np.arange(3) < keep)


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_degenerate_bodies_have_finite_equivariant_frames(keep, x64):
    """Coincident, collinear and planar nodes: as many axes are left as the body has dimensions."""
    mean, history = body()
    history = flattened(history, keep)
    frames = polar_frame(NUMPY, history, mean)
    values = np.linalg.svd(frames, compute_uv=False)
    np.testing.assert_allclose(values[:, keep:], 0, atol=1e-12)
    assert nearly_degenerate(frames).all()
    symmetry = random_symmetry(1, 5, "reflection").matrix
    turned = polar_frame(NUMPY, history @ symmetry.T, mean)
    np.testing.assert_allclose(turned, frames @ symmetry.T, atol=1e-9)
    slope = jax.jacrev(lambda x: polar_frame(JAX, x, jnp.asarray(mean)))(jnp.asarray(history[0]))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("nodes", [1, 2])
def test_one_and_two_nodes(nodes):
    mean, history = body()
    frames = polar_frame(NUMPY, history[:, :nodes], mean[:nodes])
    values = np.linalg.svd(frames, compute_uv=False)
    np.testing.assert_allclose(values[:, nodes - 1 :], 0, atol=1e-12)
    assert (values[:, : nodes - 1] > 0.99).all() and nearly_degenerate(frames).all()


def test_a_body_that_stands_still_has_no_heading_and_gets_there_without_a_jump(x64):
    _, history = body(1)
    still, up = np.repeat(history[:, :, :1], 4, axis=2), np.array([0, 0, 1.0])
    before = walking(still, up)
    np.testing.assert_array_equal(before[0, 2], 0)
    assert np.linalg.norm(before[0, 0]) > 0.99 and nearly_degenerate(before).all()
    drift = np.arange(4.0)[:, None, None] * [1.0, 0.2, 0.3]
    for speed in np.geomspace(1e-6, 1, 80):
        frame = walking(still + speed * drift, up)
        assert np.abs(frame - before).max() < 0.15
        before = frame
    assert np.linalg.norm(before[0, 2]) > 0.99

    def frame_of(x):
        return walking_frame(JAX, x, jnp.asarray(up), LATERAL, USUAL)

    assert np.isfinite(jax.jacrev(frame_of)(jnp.asarray(still[0]))).all()
    nowhere = walking(history, np.zeros(3))
    np.testing.assert_array_equal(nowhere[:, 1], 0)


@pytest.mark.parametrize("flat", [False, True])
def test_the_derivative_of_the_polar_frame_is_that_of_finite_differences(flat, x64):
    mean, history = body(3)
    history = flattened(history, 2) if flat else history
    towards = 1e-3 * np.random.default_rng(1).normal(size=history.shape)

    def frames(x):
        return polar_frame(JAX, x, jnp.asarray(mean))

    given = jnp.asarray(history)
    np.testing.assert_allclose(frames(given), polar_frame(NUMPY, history, mean), atol=1e-12)
    slope = jax.jit(lambda x: jax.jvp(frames, (x,), (jnp.asarray(towards),))[1])(given)
    step = 1e-3
    expected = (frames(given + step * towards) - frames(given - step * towards)) / (2 * step)
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-8)
    back = jax.grad(lambda x: jnp.sum(frames(x) ** 3))(given)
    ahead = jnp.sum(jax.vmap(frames)(given) ** 2 * 3 * slope)
    np.testing.assert_allclose(jnp.sum(back * towards), ahead, rtol=1e-9)


def test_equal_singular_values_have_a_derivative(x64):
    cube = np.array(np.meshgrid([-1.0, 1], [-1, 1], [-1, 1])).reshape(3, -1).T[:, None]
    slope = jax.jacfwd(lambda x: polar_frame(JAX, x, jnp.asarray(cube)))(jnp.asarray(cube[:, None]))
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0.01


def test_the_mean_structure_does_not_depend_on_how_frames_are_turned():
    mean, history = body(200)
    frames = history[:, :, 0]
    corners = np.linalg.det(frames[:, 1:4, 0] - frames[:, :1, 0])
    frames = frames * np.sign(corners / corners[0])[:, None, None, None]  # all of one hand
    found = mean_structure(frames)
    turned = mean_structure(frames @ random_symmetry(2, 5, "rotation").matrix.T)
    np.testing.assert_allclose(turned, found, atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    distances = [np.linalg.norm(m[:, None, 0] - m[None, :, 0], axis=-1) for m in (found, mean)]
    np.testing.assert_allclose(*distances, atol=0.03)
    covariance = np.einsum("ncx,ncy->xy", found, found)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert (np.diff(np.diag(covariance)) < 0).all()
