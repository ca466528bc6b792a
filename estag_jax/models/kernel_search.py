"""The scales of frame kernel: by the error on held-out blocks of the training windows."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from estag_jax.io import tell
from estag_jax.ops import linalg
from estag_jax.ops.held_out import held_out_slope
from estag_jax.ops.kernels import Scales

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
    fitted, held = min(WINDOWS, 7 * windows // 10), min(HELD, windows // 7)
    low, high = fit.starts.min(), fit.starts.max()
    width = (high - low) / 5
    copies = len(fit.data[0]) // windows
    count = min(ROWS, copies * fitted)
    scales, optimizer, noise, order = fit.scales, adam(steps, rate, 0.05, 1.0), fit.noise(), []
    # As one array: a program for many small ones takes longer to compile than to run.
    backend, flat = linalg.solver(), _flat(scales)
    state = optimizer.init(flat)
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
        sides = fit.seen(k, rest, view), fit.seen(k, held_out, view)
        given = jax.tree.map(backend.xp.asarray, (scales, *sides, fit.rings[k], noise[rest]))
        with suppress(np.linalg.LinAlgError):  # as a step that is not finite
            slope_of = held_out_slope if backend is linalg.NUMPY else _compiled_slope
            slope = _flat(slope_of(backend, *given))
            flat, state = _moved(optimizer, slope, state, flat)
            scales = _filled(scales, np.asarray(flat))
    return scales


def _flat(scales: Scales) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(scales)])


def _filled(scales: Scales, flat: np.ndarray) -> Scales:
    """The numbers of :func:`_flat` in the shapes of other scales."""
    leaves, structure = jax.tree.flatten(scales)
    parts = np.split(flat, np.cumsum([np.size(leaf) for leaf in leaves])[:-1])
    shapes = (np.shape(leaf) for leaf in leaves)
    return structure.unflatten(map(np.reshape, parts, shapes))


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


def finite_step(optimizer: Any, slope: Any, state: Any, values: Any) -> tuple[Any, Any]:
    """Values and state of an optimiser after a step; the values as they are where it is not finite."""
    updates, state = optimizer.update(slope, state, values)
    finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates)]).all()
    moved = optax.apply_updates(values, updates)
    return jax.tree.map(partial(jnp.where, finite), moved, values), state


_moved = jax.jit(finite_step, static_argnums=0)
_compiled_slope = jax.jit(held_out_slope, static_argnums=0)
