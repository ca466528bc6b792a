"""Synthetic systems against other integrators, and what must be conserved."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import ortho_group

from estag_jax.simulate import systems
from estag_jax.simulate.draws import charged, pendulum, springs, threebody
from estag_jax.simulate.integrate import (
    energy_drift,
    frame_error,
    in_float64,
    integrate,
    rattle_chain,
    rk4,
    velocity_verlet,
    yoshida4,
)
from estag_jax.simulate.lyapunov import largest_exponent

pytestmark = pytest.mark.optimised

FREE = {
    "springs": lambda: springs(5, np.random.default_rng(0), rest_length=1.0),
    "charged": lambda: charged(5, np.random.default_rng(0)),
    "threebody": lambda: threebody(3, np.random.default_rng(0)),
}
ALL = FREE | {"pendulum": lambda: pendulum(3, np.random.default_rng(0))}


def start(drawn, runs=2, seed=0):
    drawn_starts = [drawn.start(np.random.default_rng((seed, i))) for i in range(runs)]
    return tuple(np.stack(leaves) for leaves in zip(*drawn_starts, strict=True))


def kepler(eccentricity=0.0):
    """Masses 0.6 and 0.4 at distance 1 at the far point; the semi-major axis is 1 / (1 + e)."""
    masses, axis = np.array([0.6, 0.4]), 1 / (1 + eccentricity)
    apart, speed = np.array([1.0, 0, 0]), np.sqrt(2 - 1 / axis)
    positions = np.array([0.4 * apart, -0.6 * apart])
    relative = np.array([0, speed * 0.8, speed * 0.6])  # in a tilted plane
    velocities = np.array([0.4 * relative, -0.6 * relative])
    return masses, (positions[None], velocities[None])


# --- closed forms and other integrators ---


def test_kepler_circle():
    masses, state = kepler()
    times = 0.2 * np.arange(60)
    found = integrate(systems.gravitating(masses, 0.0).step, state, 0.005, 40, 60)[0][0]
    relative = np.stack([np.cos(times), 0.8 * np.sin(times), 0.6 * np.sin(times)], axis=-1)
    expected = np.array([0.4, -0.6])[:, None] * relative[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["charged", "threebody"])
def test_against_another_integrator(name):
    drawn = ALL[name]()
    positions, velocities = (leaf[:1] for leaf in start(drawn))
    num = positions.size
    # Newton's law, written once more with loops and without what is tested.
    q, masses = drawn.features[:, 0], np.ones(len(drawn.features))
    sign, softening, trap = (1, 0.2, 0.3) if name == "charged" else (-1, 0.1, 0.0)
    masses = masses if name == "charged" else q

    def rates(_, y):
        x, v = y[:num].reshape(-1, 3), y[num:].reshape(-1, 3)
        a = -trap * (x - x.mean(axis=0))
        for i in range(len(x)):
            for j in set(range(len(x))) - {i}:
                d = x[i] - x[j]
                a[i] += sign * q[i] * q[j] * d / (d @ d + softening**2) ** 1.5
        return np.concatenate([v.ravel(), (a / masses[:, None]).ravel()])

    first = np.concatenate([positions.ravel(), velocities.ravel()])
    times = np.arange(11) / 5
    expected = solve_ivp(rates, (0, 2), first, "DOP853", times, rtol=1e-10, atol=1e-10).y
    found = integrate(drawn.system.step, (positions, velocities), 0.001, 200, 11)[0][0]
    np.testing.assert_allclose(found.reshape(11, -1), expected[:num].T, atol=1e-6)


# --- order, energy, momentum, reversal ---


@pytest.mark.parametrize(
    ("compose", "order"), [(lambda step: step, 2), (yoshida4, 4)], ids=["verlet", "yoshida"]
)
@pytest.mark.parametrize("which", ["kepler", "pendulum"])
def test_halving_the_step_divides_the_energy_error_by_two_to_the_order(which, compose, order):
    if which == "kepler":
        masses, state = kepler(0.3)
        system = systems.gravitating(masses, 0.0)
        strengths = -np.outer(masses, masses)
        step = velocity_verlet(
            lambda x: systems.inverse_distance_forces(x, strengths, 0.0) / masses[:, None]
        )
        dt = 0.05
    else:
        system, state = systems.pendulum(np.ones(2), np.ones(2)), start(pendulum(2, None), 1)
        down = np.array([0, 0, -9.81])
        step = rattle_chain(lambda x: jnp.broadcast_to(down, x.shape), np.ones(2), np.ones(2))
        dt = 0.01
    drifts = [
        energy_drift(system.energies, integrate(compose(step), state, dt / n, 4 * n, 40)).item()
        for n in (1, 2)
    ]
    assert drifts[1] < 1e-3
    np.testing.assert_allclose(np.log2(drifts[0] / drifts[1]), order, atol=0.35)


def test_runge_kutta_is_of_fourth_order():
    step = rk4(lambda state: (state[1], -state[0]))
    errors = []
    for substeps in (5, 10):
        found = integrate(step, (np.ones((1, 1)), np.zeros((1, 1))), 1 / substeps, substeps, 6)
        errors.append(np.abs(found[0][0, :, 0] - np.cos(np.arange(6))).max())
    np.testing.assert_allclose(errors[0] / errors[1], 16, rtol=0.1)


def test_drift_and_frame_error_see_what_is_put_in():
    states = (np.zeros((2, 3, 1, 3)), np.zeros((2, 3, 1, 3)))
    states[1][1, :, 0, 0] = [2.0, 1.0, 2.0]

    def energies(state):
        return jnp.sum(state[1] ** 2) / 2, jnp.sum(state[0])

    np.testing.assert_allclose(energy_drift(energies, states), [0, 0.75])
    # Euler's step of x' = 1 + x from x = 0 and 2: 1 + h, and (1 + h / 2)² with half the step.
    step = lambda state, dt: (state[0] + dt * (1 + state[0]),)  # noqa: E731
    error = frame_error(step, (np.array([[[[0.0]]], [[[2.0]]]]),), 0.5, 1)
    np.testing.assert_allclose(error, np.array([1, 3]) * 0.0625 / 1.5625, rtol=1e-12)


@pytest.mark.parametrize("name", FREE)
def test_energy_momentum_and_angular_momentum_are_kept(name):
    drawn = FREE[name]()
    state = start(drawn)
    boost = np.array([0.3, -0.2, 0.1])
    state = (state[0], state[1] + boost)  # else the total momentum would be 0 by the draw
    x, v = integrate(drawn.system.step, state, 0.005, 20, 50)
    masses = drawn.features if name == "threebody" else np.ones_like(drawn.features)
    momentum = (masses * v).sum(axis=2)
    np.testing.assert_allclose(momentum, momentum[:, :1].repeat(50, 1), atol=1e-11)
    np.testing.assert_allclose(momentum[0, 0], masses.sum() * boost, atol=1e-11)
    angular = np.cross(x, masses * v).sum(axis=2)
    assert np.abs(angular).max() > 0.1
    np.testing.assert_allclose(angular, angular[:, :1].repeat(50, 1), atol=1e-11)
    assert energy_drift(drawn.system.energies, (x, v)).max() < 1e-4


def test_rods_keep_their_lengths_and_speeds():
    drawn = pendulum(4, None)
    x, v = integrate(drawn.system.step, start(drawn), 0.0025, 20, 100)
    rods, rates = np.diff(x, axis=2, prepend=0), np.diff(v, axis=2, prepend=0)
    np.testing.assert_allclose(np.linalg.norm(rods, axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose((rods * rates).sum(axis=-1), 0, atol=1e-9)
    angular = np.cross(x, v).sum(axis=2)[..., 2]  # about the vertical
    np.testing.assert_allclose(angular, angular[:, :1].repeat(100, 1), atol=1e-9)
    assert energy_drift(drawn.system.energies, (x, v)).max() < 1e-4
    assert np.ptp(x) > 2


@pytest.mark.parametrize("name", ALL)
def test_with_velocities_reversed_everything_goes_back(name):
    drawn = ALL[name]()
    state = start(drawn)
    there = integrate(drawn.system.step, state, 0.005, 200, 2)
    turned = (there[0][:, 1], -there[1][:, 1])
    back = integrate(drawn.system.step, turned, 0.005, 200, 2)
    assert np.abs(there[0][:, 1] - state[0]).max() > 0.1
    np.testing.assert_allclose(back[0][:, 1], state[0], atol=1e-8)
    np.testing.assert_allclose(back[1][:, 1], -state[1], atol=1e-8)


# --- symmetry, many at once, precision ---


@pytest.mark.parametrize("name", ALL)
def test_rotated_starts_give_rotated_motion(name):
    drawn = ALL[name]()
    rotation = ortho_group.rvs(3, random_state=3)
    x, v = start(drawn)

    def moved(rotation):
        return integrate(drawn.system.step, (x @ rotation, v @ rotation), 0.01, 10, 20)[0]

    if name == "pendulum":
        difference = moved(rotation) - moved(np.eye(3)) @ rotation
        assert np.abs(difference).max() > 0.1  # gravity has a direction
        rotation = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    np.testing.assert_allclose(moved(rotation), moved(np.eye(3)) @ rotation, atol=1e-8)


def test_lorenz_is_symmetric_to_half_a_turn_only():
    points = np.random.default_rng(0).normal(size=(1, 2, 3))
    rates = in_float64(lambda x: systems.lorenz_derivative(x, coupling=0.2), points)
    turn = np.diag([-1.0, -1, 1])
    turned = in_float64(lambda x: systems.lorenz_derivative(x, coupling=0.2), points @ turn)
    np.testing.assert_allclose(turned, rates @ turn, atol=1e-12)
    mirrored = in_float64(lambda x: systems.lorenz_derivative(x, coupling=0.2), -points)
    assert np.abs(mirrored + rates).max() > 0.1
    x, y, z = points[0].T
    alone = np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1)
    pull = 0.2 * (points[0].mean(axis=0) - points[0])
    np.testing.assert_allclose(rates[0], alone + pull, rtol=1e-12)


def test_many_at_once_are_as_one_at_a_time():
    drawn = FREE["threebody"]()
    states = start(drawn, runs=3)
    together = integrate(drawn.system.step, states, 0.005, 20, 30)[0]
    for i in range(3):
        one = tuple(leaf[i : i + 1] for leaf in states)
        alone = integrate(drawn.system.step, one, 0.005, 20, 30)[0]
        np.testing.assert_allclose(alone[0], together[i], atol=1e-8)


def test_always_float64_and_the_global_setting_stays():
    drawn = FREE["springs"]()
    before = jax.config.jax_enable_x64
    assert not before  # or this test would show nothing
    states = integrate(drawn.system.step, start(drawn), 0.01, 2, 3)
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 for leaf in states)
    exponents = largest_exponent(drawn.system.step, start(drawn), 5, 0.01)
    assert exponents.dtype == np.float64 and exponents.shape == (2,)
    assert jax.config.jax_enable_x64 == before and jnp.zeros(1).dtype == jnp.float32


# --- Lyapunov exponents ---


def test_exponent_of_lorenz():
    """0.9056: J. C. Sprott, Chaos and Time-Series Analysis (2003)."""
    system = systems.lorenz()
    starts = (np.random.default_rng(0).normal(size=(16, 1, 3)) + [0, 0, 25],)
    found = largest_exponent(system.step, starts, 26_000, 0.01, transient=2_000)
    np.testing.assert_allclose(found.mean(), 0.9056, atol=0.02)


def test_exponent_of_a_linear_system_is_its_largest_eigenvalue():
    matrix = np.array([[-0.2, 3.0], [0.0, 0.7]])
    step = rk4(lambda state: (matrix @ state[0],))
    found = largest_exponent(step, (np.ones((1, 2)),), 2_000, 0.01, transient=1_000)
    np.testing.assert_allclose(found, 0.7, atol=1e-3)


def test_exponents_of_regular_motion_go_to_zero():
    masses, ellipse = kepler(0.3)
    pair = systems.springs(np.array([[0, 1]]), np.ones(2), 1.0, rest_length=1.0)
    spring = (np.array([[[0.0, 0, 0], [1.5, 0, 0]]]), np.array([[[0.0, 0.3, 0], [0, -0.3, 0.1]]]))
    for system, state in ((systems.gravitating(masses, 0.0), ellipse), (pair, spring)):
        long = largest_exponent(system.step, state, 20_000, 0.02, transient=10_000)
        assert abs(long.item()) < 0.01


def test_exponent_needs_steps_to_count():
    with pytest.raises(ValueError, match=r"transient is 5, it must lie in 0 … 4"):
        largest_exponent(lambda state, dt: state, (np.ones((1, 1)),), 5, 0.1, transient=5)
