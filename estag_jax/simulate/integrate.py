"""Integrators: steps in time, and their repetition over frames and over many starts.

A step is a function from a state (any tree of arrays) and a time step to the next state. The steps
for Hamiltonian systems are symplectic and symmetric in time: their energy error stays bounded, and
with the velocities reversed they go back to where they came from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

State = Any
Step = Callable[[State, float], State]

NEWTON_ITERATIONS = 5
"""Of ``rattle_chain``; each squares the relative error of the rods' lengths."""


def velocity_verlet(acceleration: Callable[[Any], Any]) -> Step:
    """The velocity Verlet step, of second order: kick h/2, drift h, kick h/2.

    Args:
      acceleration: from positions [N, 3] to accelerations [N, 3].

    Returns:
      A step of states (positions, velocities).
    """

    def step(state, dt):
        positions, velocities = state
        velocities = velocities + dt / 2 * acceleration(positions)
        positions = positions + dt * velocities
        return positions, velocities + dt / 2 * acceleration(positions)

    return step


def yoshida4(step: Step) -> Step:
    """Yoshida's triple jump: a symmetric step of second order, made one of fourth.

    Three steps of w, 1 - 2 w and w times the time step with w = 1 / (2 - 2^(1/3)); the middle one
    goes backwards. H. Yoshida, Phys. Lett. A 150, 262 (1990).
    """
    outer = 1 / (2 - 2 ** (1 / 3))
    weights = np.array([outer, 1 - 2 * outer, outer])

    def composed(state, dt):
        # A scan, so that the step is compiled once and not three times.
        return jax.lax.scan(lambda s, w: (step(s, w * dt), None), state, weights)[0]

    return composed


def rk4(derivative: Callable[[State], State]) -> Step:
    """The classical Runge-Kutta step of fourth order.

    Args:
      derivative: from a state to its rate of change, a tree of the same kind.
    """

    def moved(state, dt, rate):
        return jax.tree.map(lambda leaf, change: leaf + dt * change, state, rate)

    def step(state, dt):
        k1 = derivative(state)
        k2 = derivative(moved(state, dt / 2, k1))
        k3 = derivative(moved(state, dt / 2, k2))
        k4 = derivative(moved(state, dt, k3))
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
        return moved(state, dt, mean)

    return step


def rattle_chain(
    acceleration: Callable[[Any], Any], masses: np.ndarray, lengths: np.ndarray
) -> Step:
    """RATTLE for a chain of bobs on rigid rods hung from the origin: Verlet with rod tensions.

    The tensions keep |r_i| = L_i for every rod r_i = x_i - x_{i-1} at the new positions, and
    r_i · (v_i - v_{i-1}) = 0 at the new velocities. H. C. Andersen, J. Comput. Phys. 52, 24 (1983).

    Args:
      acceleration: by all forces but the tensions, from positions [N, 3] to [N, 3].
      masses: of the bobs [N], from the anchor outwards.
      lengths: of the rods [N], rod i above bob i.

    Returns:
      A step of states (positions, velocities), of second order and symmetric.
    """
    inverse = 1 / np.asarray(masses, float)
    # The anchor does not move: it is a bob of infinite mass.
    above = np.concatenate([[0.0], inverse[:-1]])

    def along(rods, impulses):
        """Velocity changes [N, 3] by impulses [N] along the rods."""
        pulls = impulses[:, None] * rods
        return inverse[:, None] * (pulls - jnp.concatenate([pulls[1:], jnp.zeros((1, 3))]))

    def solve(new, old, right):
        """Impulses along ``old`` rods that change the rates of the lengths of ``new`` by right."""
        diagonal = (inverse + above) * jnp.sum(new * old, axis=-1)
        neighbours = -inverse[:-1]  # two rods pull on the bob between them
        lower = neighbours * jnp.sum(new[1:] * old[:-1], axis=-1)
        upper = neighbours * jnp.sum(new[:-1] * old[1:], axis=-1)
        return _solve_tridiagonal(lower, diagonal, upper, right)

    def step(state, dt):
        positions, velocities = state
        old = _rods(positions)
        velocities = velocities + dt / 2 * acceleration(positions)

        def newton(impulses, _):
            new = _rods(positions + dt * (velocities + along(old, impulses)))
            excess = (jnp.sum(new**2, axis=-1) - lengths**2) / 2
            return impulses - solve(new, old, excess) / dt, None

        start = jnp.zeros(len(inverse))
        impulses = jax.lax.scan(newton, start, length=NEWTON_ITERATIONS)[0]
        velocities = velocities + along(old, impulses)
        positions = positions + dt * velocities
        rods = _rods(positions)
        velocities = velocities + dt / 2 * acceleration(positions)
        stretching = jnp.sum(rods * _rods(velocities), axis=-1)
        return positions, velocities - along(rods, solve(rods, rods, stretching))

    return step


def integrate(step: Step, states: State, dt: float, substeps: int, frames: int) -> State:
    """Repeats a step and keeps every ``substeps``-th state; the first frame is the start.

    Many starts go at once, compiled, in float64 whatever JAX's global setting.

    Args:
      step: what to repeat.
      states: the starts, a tree of arrays [R, ...].
      dt: time of one step.
      substeps: steps from one frame to the next.
      frames: frames to keep.

    Returns:
      The same tree of numpy arrays [R, frames, ...], float64.
    """
    with jax.enable_x64(True):
        return jax.device_get(_rollouts(step, _as_float64(states), dt, substeps, frames))


def in_float64(function: Callable[[Any], Any], arguments: Any) -> Any:
    """A function of one element over the leading axis of all of them, compiled, in float64.

    Args:
      function: from a tree of arrays to a tree of arrays.
      arguments: its argument, with a leading axis.

    Returns:
      Its results with that axis, numpy arrays.
    """
    with jax.enable_x64(True):
        return jax.device_get(jax.jit(jax.vmap(function))(_as_float64(arguments)))


def energy_drift(energies: Callable[[State], tuple[Any, Any]], states: State) -> np.ndarray:
    """The largest change of a run's energy since its start, over its largest kinetic energy.

    The zero of a potential is arbitrary and the energy itself may be 0; neither matters here.

    Args:
      energies: from a state to its kinetic and potential energy.
      states: arrays [R, frames, N, 3].

    Returns:
      [R]; 0 for a run that is always at rest.
    """
    shape = jax.tree.leaves(states)[0].shape[:2]
    kinetic, potential = (e.reshape(shape) for e in in_float64(energies, _flat(states)))
    drift = np.abs(kinetic + potential - kinetic[:, :1] - potential[:, :1]).max(axis=1)
    return drift / np.maximum(kinetic.max(axis=1), np.finfo(float).tiny)


def frame_error(step: Step, states: State, dt: float, substeps: int) -> np.ndarray:
    """How far one frame goes astray: its largest difference to one from half the time step.

    Args:
      step: what is repeated.
      states: arrays [R, frames, N, 3]; the frame after each of them is computed twice.
      dt: time of one step.
      substeps: steps from one frame to the next.

    Returns:
      The difference of the positions over their standard deviation [R].
    """
    coarse = integrate(step, _flat(states), dt, substeps, 2)[0][:, 1]
    fine = integrate(step, _flat(states), dt / 2, 2 * substeps, 2)[0][:, 1]
    runs = jax.tree.leaves(states)[0].shape[0]
    return np.abs(coarse - fine).reshape(runs, -1).max(axis=1) / fine.std()


# The time step and the substeps are traced: other values need no other program.
@functools.partial(jax.jit, static_argnames=("step", "frames"))
def _rollouts(step: Step, states: State, dt: float, substeps: int, frames: int) -> State:
    def frame(state, _):
        return jax.lax.fori_loop(0, substeps, lambda _, s: step(s, dt), state), state

    return jax.vmap(lambda state: jax.lax.scan(frame, state, length=frames)[1])(states)


def _as_float64(tree: State) -> State:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def _flat(states: State) -> State:
    """The frames of all runs along one axis."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), states)


def _rods(points: Any) -> Any:
    """Each point less the one above it, the origin above the first [N, 3]."""
    return jnp.diff(points, axis=0, prepend=jnp.zeros((1, 3)))


def _solve_tridiagonal(lower: Any, diagonal: Any, upper: Any, right: Any) -> Any:
    """Thomas's elimination, for short chains: plain arithmetic that fuses under ``vmap``."""
    num = diagonal.shape[0]
    pivots, values = [diagonal[0]], [right[0]]
    for i in range(1, num):
        factor = lower[i - 1] / pivots[-1]
        pivots.append(diagonal[i] - factor * upper[i - 1])
        values.append(right[i] - factor * values[-1])
    solution = [values[-1] / pivots[-1]]
    for i in reversed(range(num - 1)):
        solution.append((values[i] - upper[i] * solution[-1]) / pivots[i])
    return jnp.stack(solution[::-1])
