"""Small systems whose equations of motion are known: energies, forces, and a step in time.

Energies and forces are pure functions of positions [N, 3]; a force is minus the gradient of its
energy, in closed form. A ``System`` joins them with the integrator that suits them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from estag_jax.simulate.integrate import State, Step, rattle_chain, rk4, velocity_verlet, yoshida4

STANDARD_GRAVITY = 9.81
"""m/s², downwards along z."""

_TINY = 1e-200  # added to squares of lengths: the root of an exact 0 has no gradient


@dataclasses.dataclass(frozen=True)
class System:
    """How a system moves.

    Args:
      step: from a state and a time step to the next state. A state is (positions, velocities),
        each [N, 3], or (positions,) where the equations are of first order.
      energies: from a state to its kinetic and potential energy, or None where no energy is kept.
    """

    step: Step
    energies: Callable[[State], tuple[Any, Any]] | None = None


def spring_energy(positions: Any, pairs: Any, stiffness: float, rest_length: float) -> Any:
    """Σ k/2 (r - r0)² over the springs.

    Args:
      positions: [N, 3].
      pairs: the two ends of each spring, integers [springs, 2].
      stiffness: k.
      rest_length: r0; with 0 the forces are linear in the positions.
    """
    lengths = jnp.sqrt(jnp.sum(_differences(positions, pairs) ** 2, axis=-1) + _TINY)
    return stiffness / 2 * jnp.sum((lengths - rest_length) ** 2)


def spring_forces(positions: Any, pairs: Any, stiffness: float, rest_length: float) -> Any:
    """Forces [N, 3] of ``spring_energy``: Hooke's law along each spring."""
    differences = _differences(positions, pairs)
    lengths = jnp.sqrt(jnp.sum(differences**2, axis=-1, keepdims=True) + _TINY)
    pulls = stiffness * (rest_length / lengths - 1) * differences
    return jnp.zeros_like(positions).at[pairs[:, 0]].add(pulls).at[pairs[:, 1]].add(-pulls)


def inverse_distance_energy(positions: Any, strengths: Any, softening: float) -> Any:
    """Σ s_ij / sqrt(r² + ε²) over pairs: Coulomb's law and Newton's, softened as Plummer does.

    Args:
      positions: [N, 3].
      strengths: s, symmetric [N, N]: q_i q_j between charges, -G m_i m_j between masses.
      softening: ε, a length.
    """
    i, j = np.triu_indices(len(positions), 1)
    squares = jnp.sum((positions[i] - positions[j]) ** 2, axis=-1) + softening**2
    return jnp.sum(strengths[i, j] / jnp.sqrt(squares))


def inverse_distance_forces(positions: Any, strengths: Any, softening: float) -> Any:
    """Forces [N, 3] of ``inverse_distance_energy``."""
    differences = positions[:, None] - positions[None]
    squares = jnp.sum(differences**2, axis=-1) + softening**2
    # A particle's difference to itself is 0, and so is its force, whatever it is divided by; the
    # identity keeps that from being 0/0.
    squares = squares + np.eye(len(positions))
    return jnp.sum((strengths / (squares * jnp.sqrt(squares)))[..., None] * differences, axis=1)


def trap_energy(positions: Any, stiffness: float) -> Any:
    """κ/2 Σ |x - mean x|²: a weak harmonic pull of every particle to the common centre."""
    return stiffness / 2 * jnp.sum((positions - positions.mean(axis=0)) ** 2)


def trap_forces(positions: Any, stiffness: float) -> Any:
    """Forces [N, 3] of ``trap_energy``; they add up to zero, so that momentum is kept."""
    return -stiffness * (positions - positions.mean(axis=0))


def lorenz_derivative(positions: Any, coupling: float) -> Any:
    """Rates of change of Lorenz's oscillators, x' = σ(y - x), y' = x(ρ - z) - y, z' = xy - βz.

    σ = 10, ρ = 28, β = 8/3 as in E. N. Lorenz, J. Atmos. Sci. 20, 130 (1963).

    Args:
      positions: the oscillators [N, 3], each a point of R³.
      coupling: c of the diffusive coupling c (mean x - x), which all three coordinates feel.

    Returns:
      Rates [N, 3].
    """
    x, y, z = positions[:, 0], positions[:, 1], positions[:, 2]
    own = jnp.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8 / 3 * z], axis=-1)
    return own + coupling * (positions.mean(axis=0) - positions)


def springs(pairs: np.ndarray, masses: np.ndarray, stiffness: float, rest_length: float) -> System:
    """Particles joined by springs, as in NRI (Kipf et al. 2018), without its box.

    Args:
      pairs: the two ends of each spring, integers [springs, 2].
      masses: [N].
      stiffness: k of every spring.
      rest_length: r0 of every spring.
    """
    return _free(
        masses,
        lambda positions: spring_energy(positions, pairs, stiffness, rest_length),
        lambda positions: spring_forces(positions, pairs, stiffness, rest_length),
    )


def charged(charges: np.ndarray, masses: np.ndarray, softening: float, trap: float) -> System:
    """Charges that attract and repel one another, held together by a weak trap.

    Args:
      charges: q [N].
      masses: [N]; equal ones, if momentum and the centre are to stay.
      softening: ε of Coulomb's law.
      trap: κ of ``trap_energy``.
    """
    strengths = np.outer(charges, charges)
    return _free(
        masses,
        lambda x: inverse_distance_energy(x, strengths, softening) + trap_energy(x, trap),
        lambda x: inverse_distance_forces(x, strengths, softening) + trap_forces(x, trap),
    )


def gravitating(masses: np.ndarray, softening: float) -> System:
    """Masses that attract one another, G = 1.

    Args:
      masses: [N].
      softening: ε of Newton's law; 0 for the exact one.
    """
    strengths = -np.outer(masses, masses)
    return _free(
        masses,
        lambda x: inverse_distance_energy(x, strengths, softening),
        lambda x: inverse_distance_forces(x, strengths, softening),
    )


def pendulum(masses: np.ndarray, lengths: np.ndarray, gravity: float = STANDARD_GRAVITY) -> System:
    """A chain of bobs on rigid massless rods, hung from the origin.

    Args:
      masses: of the bobs [N], from the anchor outwards, kg.
      lengths: of the rods [N], rod i above bob i, m.
      gravity: g along -z, m/s².
    """
    down = np.array([0.0, 0.0, -gravity])

    def energies(state):
        positions, velocities = state
        return _kinetic(masses, velocities), gravity * jnp.sum(masses * positions[:, 2])

    step = rattle_chain(lambda positions: jnp.broadcast_to(down, positions.shape), masses, lengths)
    return System(yoshida4(step), energies)


def lorenz(coupling: float = 0.0) -> System:
    """Lorenz's oscillators at his values; a state is (positions,).

    Args:
      coupling: c of ``lorenz_derivative``.
    """
    return System(rk4(lambda state: (lorenz_derivative(state[0], coupling),)))


def _free(masses: np.ndarray, energy: Callable, forces: Callable) -> System:
    def energies(state):
        positions, velocities = state
        return _kinetic(masses, velocities), energy(positions)

    def acceleration(positions):
        return forces(positions) / masses[:, None]

    return System(yoshida4(velocity_verlet(acceleration)), energies)


def _kinetic(masses: np.ndarray, velocities: Any) -> Any:
    return jnp.sum(masses[:, None] * velocities**2) / 2


def _differences(positions: Any, pairs: Any) -> Any:
    return positions[pairs[:, 0]] - positions[pairs[:, 1]]
