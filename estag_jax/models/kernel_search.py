"""The scales of frame kernel: by the error on held-out blocks of the training windows."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from estag_jax.io import tell
from estag_jax.ops import linalg
from estag_jax.ops.kernels import Scales, parity_kernels

if TYPE_CHECKING:
    from estag_jax.models.kernel_fit import KernelFit

WINDOWS = 360
"""Training windows of a step, at most."""

HELD = 80
"""Held-out windows of a step, at most."""

ROWS = 1500
"""Samples of a step that are fitted, at most."""


def search(fit: KernelFit, steps: int, rate: float) -> Scales:
    """Adam on the logarithm of the error on a held-out block of time, a class of nodes and a block each step.

    Windows that share a frame with the block are dropped. Nothing is done where there are too few.

    Args:
      fit: its samples and the scales to start from.
      steps: of Adam.
      rate: its step size, which falls to a twentieth.
    """
    windows, generator = len(fit.starts), fit.rng
    # As one array: a program for each of the many small ones takes longer to compile than to run.
    flat, unravel = ravel_pytree(fit.scales)
    fitted, held = min(WINDOWS, 7 * windows // 10), min(HELD, windows // 7)
    low, high = fit.starts.min(), fit.starts.max()
    width = (high - low) / 5
    copies = len(fit.data[0]) // windows
    count = min(ROWS, copies * fitted)
    optimizer = adam(steps, rate, 0.05, 1.0)
    state, noise, order = optimizer.init(flat), fit.noise(), []
    for step in range(steps if held >= 8 else 0):
        tell("scales", step, steps)
        order = order or list(generator.permutation(len(fit.members)))
        k, start = int(order.pop()), generator.uniform(low, high - width)
        inside = (fit.starts >= start) & (fit.starts < start + width)
        apart = (fit.starts < start - fit.span) | (fit.starts >= start + width + fit.span)
        held_out, rest = np.flatnonzero(inside), np.flatnonzero(apart)
        if len(rest) < fitted or len(held_out) < held:
            continue
        rest = generator.permutation(rest)[:fitted]
        held_out = generator.permutation(held_out)[:held]
        rest = np.concatenate([rest + k * windows for k in range(copies)])
        if count < len(rest):
            rest = generator.permutation(rest)[:count]
        held_out = np.concatenate([held_out + k * windows for k in range(fit.ways)])
        view = int(fit.members[k][0])
        if len(fit.members[k]) > 1:
            view = int(generator.choice(fit.members[k]))
        sides = *fit.seen(k, rest, view), *fit.seen(k, held_out, view)
        pairs = *sides, fit.rings[k], noise[rest]
        flat, state = _step(optimizer, unravel, flat, state, *pairs)
    return jax.tree.map(np.asarray, unravel(flat))


@cache
def adam(
    steps: int, rate: float, last: float = 0.0, clip: float | None = None
) -> optax.GradientTransformation:
    """The same object for the same search: the program of its steps is compiled once for all fits.

    Args:
      steps: of the search.
      rate: step size at the start.
      last: its share at the end.
      clip: bound on the global norm of the gradient.
    """
    update = optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1), last))
    return update if clip is None else optax.chain(optax.clip_by_global_norm(clip), update)


def _held_out_error(scales, z, y, other, expected, rings, noise):
    """The logarithm of the mean squared error on held-out samples."""
    count, even = len(z), 2 * (y.shape[1] // 3)
    # Only the linear part needs float64, which its noise is seven digits below.
    parts = parity_kernels(scales, jnp.concatenate([z, other]), z, rings, jnp.float32)
    total = 0.0
    for parity, columns in ((0, slice(0, even)), (1, slice(even, None))):
        kernel = parts[parity] + parts[parity + 2]
        matrix = kernel[:count] + jnp.diag(jnp.exp(scales.noise[parity]) * noise)
        alpha = jax.scipy.linalg.solve(matrix, y[:, columns], assume_a="pos")
        found = linalg.matmul(kernel[count:], alpha)
        total = total + jnp.sum((found - expected[:, columns]) ** 2)
    return jnp.log(total / expected.size + 1e-30)


@partial(jax.jit, static_argnums=(0, 1))
def _step(optimizer, unravel, flat, state, *pairs):
    """Scales and state after a step; slope and update are one program."""
    slope = jax.grad(lambda flat: _held_out_error(unravel(flat), *pairs))(flat)
    return finite_step(optimizer, slope, state, flat)


def finite_step(optimizer: Any, slope: Any, state: Any, values: Any) -> tuple[Any, Any]:
    """Values and state of an optimiser after a step; the values as they are where it is not finite."""
    updates, state = optimizer.update(slope, state, values)
    finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates)]).all()
    moved = optax.apply_updates(values, updates)
    return jax.tree.map(partial(jnp.where, finite), moved, values), state
