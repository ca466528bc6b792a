"""Synthetic systems by hand: forces, and closed forms of how two bodies and pendulums move."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from estag_jax.simulate import systems
from estag_jax.simulate.draws import pendulum
from estag_jax.simulate.integrate import (
    in_float64,
    integrate,
)

# --- forces ---


@pytest.mark.parametrize("rest_length", [0.0, 1.3])
def test_forces_are_minus_the_gradient_of_the_energy(rest_length):
    random = np.random.default_rng(1)
    positions = random.normal(size=(1, 4, 3))
    pairs = np.array([[0, 1], [1, 2], [0, 3]])
    strengths = random.normal(size=(4, 4))
    strengths = strengths + strengths.T
    for energy, forces, constants in (
        (systems.spring_energy, systems.spring_forces, (pairs, 2.0, rest_length)),
        (systems.inverse_distance_energy, systems.inverse_distance_forces, (strengths, 0.2)),
        (systems.trap_energy, systems.trap_forces, (0.3,)),
    ):
        closed = in_float64(lambda x, f=forces, c=constants: f(x, *c), positions)
        gradient = in_float64(lambda x, f=energy, c=constants: jax.grad(f)(x, *c), positions)
        np.testing.assert_allclose(closed, -gradient, rtol=1e-12, atol=1e-12)


def test_coulomb_by_hand():
    positions = np.array([[[0.0, 0, 0], [0, 3, 4]]])
    strengths = np.array([[7.0, -2], [-2, 9]])  # what stands on the diagonal does not matter
    force = in_float64(lambda x: systems.inverse_distance_forces(x, strengths, 0.0), positions)
    np.testing.assert_allclose(force[0], 2 / 25 * np.array([[0, 0.6, 0.8], [0, -0.6, -0.8]]))
    energy = in_float64(lambda x: systems.inverse_distance_energy(x, strengths, 12.0), positions)
    np.testing.assert_allclose(energy, -2 / 13)


# --- closed forms and other integrators ---


def test_two_bodies_on_a_spring_swing_as_a_cosine():
    system = systems.springs(np.array([[0, 1]]), np.array([1.0, 3.0]), 2.0, rest_length=1.0)
    positions = np.array([[[0.0, 0, 0], [1.4, 0, 0]]])
    times = 0.1 * np.arange(100)
    found = integrate(system.step, (positions, np.zeros((1, 2, 3))), 0.01, 10, 100)[0][0]
    length = 1 + 0.4 * np.cos(np.sqrt(2.0 / 0.75) * times)  # reduced mass 3/4
    expected = 1.05 - np.array([0.75, -0.25]) * length[:, None]  # the centre stays at 1.05
    np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-7)
    np.testing.assert_array_equal(found[:, :, 1:], 0)


def test_double_pendulum_in_a_plane_against_the_equations_of_its_angles():
    """The textbook's equations for θ1, θ2 from the vertical, with other masses and lengths."""
    (m1, m2), (l1, l2), g = (1.0, 0.6), (1.0, 0.7), 9.81

    def rates(_, y):
        a, b, u, w = y
        sine, cosine = np.sin(a - b), np.cos(a - b)
        matrix = [[(m1 + m2) * l1, m2 * l2 * cosine], [l1 * cosine, l2]]
        right = [
            -m2 * l2 * w**2 * sine - (m1 + m2) * g * np.sin(a),
            l1 * u**2 * sine - g * np.sin(b),
        ]
        return [u, w, *np.linalg.solve(matrix, right)]

    times = 0.05 * np.arange(60)
    angles = solve_ivp(rates, (0, 3), [2.0, 2.5, 0, 0], "DOP853", times, rtol=1e-11, atol=1e-11).y
    rods = [
        length * np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], axis=-1)
        for length, angle in ((l1, angles[0]), (l2, angles[1]))
    ]
    expected = np.stack([rods[0], rods[0] + rods[1]], axis=1)
    system = systems.pendulum(np.array([m1, m2]), np.array([l1, l2]), g)
    found = integrate(system.step, (expected[:1], np.zeros((1, 2, 3))), 0.001, 50, 60)[0][0]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_bob_on_a_level_rod_begins_to_fall_freely():
    state = (np.array([[[1.0, 0, 0]]]), np.zeros((1, 1, 3)))
    found = integrate(pendulum(1, None).system.step, state, 1e-3, 10, 2)[0][0, 1, 0]
    np.testing.assert_allclose(found[2], -9.81 / 2 * 0.01**2, rtol=1e-4)
