"""How fast neighbouring motions part: the largest Lyapunov exponent."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from estag_jax.simulate.integrate import State, Step, in_float64


def largest_exponent(
    step: Step, states: State, steps: int, dt: float, *, transient: int = 0
) -> np.ndarray:
    """The mean rate λ at which an infinitesimal difference between two motions grows, |δ| ~ e^(λt).

    The difference is a tangent vector that the derivative of the step carries along; after every
    step it is made a unit vector again and the logarithm of its growth is kept (Benettin et al.,
    Meccanica 15, 9 (1980)). In float64. For regular motion, where a difference grows like t, the
    result goes to 0 like 1 / t if ``transient`` is a fixed share of ``steps``.

    Args:
      step: from a state and a time step to the next state.
      states: starts, a tree of arrays [R, ...].
      steps: total number of steps.
      dt: time of one step.
      transient: first steps that do not count, in which the vector turns to the fastest direction.

    Returns:
      λ of each start [R], in one over the unit of time.

    Raises:
      ValueError: no steps are left to count.
    """
    if not 0 <= transient < steps:
        raise ValueError(f"transient is {transient}, it must lie in 0 … {steps - 1} (steps - 1)")
    generator = np.random.default_rng(0)  # of the first tangent vectors
    tangents = jax.tree.map(lambda leaf: generator.normal(size=np.shape(leaf)), states)

    def exponent(start):
        state, tangent = start

        def advance(i, carry):
            state, tangent, total = carry
            state, tangent = jax.jvp(lambda s: step(s, dt), (state,), (tangent,))
            tangent, length = _unit(tangent)
            return state, tangent, total + jnp.where(i < transient, 0.0, jnp.log(length))

        carry = (state, _unit(tangent)[0], jnp.zeros(()))
        return jax.lax.fori_loop(0, steps, advance, carry)[2] / ((steps - transient) * dt)

    return in_float64(exponent, (states, tangents))


def _unit(tree: State) -> tuple[State, jax.Array]:
    """The tree over its Euclidean length, and that length."""
    length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
    return jax.tree.map(lambda leaf: leaf / length, tree), length
