"""Bond lengths restored, or kept within limits, after a forecast: SHAKE, for numpy and jax arrays."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from estag_jax.graph import Array
from estag_jax.ops import linalg

SWEEPS = 30
"""Passes over all bonds."""


def bond_groups(bonds: np.ndarray) -> tuple[np.ndarray, ...]:
    """Bonds in groups within which no two share a node, so that a group is moved at once.

    Args:
      bonds: pairs of nodes [bonds, 2].

    Returns:
      Groups [bonds of the group, 2], the first as large as may be.
    """
    groups: list[list[list[int]]] = []
    for ends in np.asarray(bonds).tolist():
        apart = (g for g in groups if not any(node in bond for bond in g for node in ends))
        if (group := next(apart, None)) is None:
            groups.append(group := [])
        group.append(ends)
    return tuple(np.array(group) for group in groups)


def restore_lengths(
    frame: Array, reference: Array, groups: Sequence[Array], sweeps: int = SWEEPS
) -> Array:
    """Moves the ends of bonds until the bonds have their lengths of a reference frame; pure.

    For each bond in turn, with d = x_i - x_j and ℓ its length in the reference,

        x_i += (ℓ - |d|) d / 2|d|,  x_j -= (ℓ - |d|) d / 2|d|

    which is the nearest pair of points of length ℓ, swept over all bonds (SHAKE: Ryckaert, Ciccotti and
    Berendsen, J. Comput. Phys. 23 (1977) 327). Exactly equivariant; a bond whose ends coincide is left
    alone.

    Differs from the reference: all nodes weigh alike, since coordinates and not momenta are corrected, and
    a bond is moved along itself and not along the reference's bond, so that large turns do no harm.

    Args:
      frame: [..., N, 3].
      reference: [..., N, 3].
      groups: of :func:`bond_groups`.
      sweeps: passes over all bonds.

    Returns:
      [..., N, 3]; float64 from numpy input.
    """
    (xp, _, _), frame = linalg.backend_of(frame)
    reference = xp.asarray(reference, frame.dtype)
    lengths = [xp.sqrt(_squares(reference, group)) for group in groups]
    return _swept(frame, groups, [(length, length) for length in lengths], sweeps)


def limit_lengths(
    frame: Array, limits: Sequence[Array], groups: Sequence[Array], sweeps: int = SWEEPS
) -> Array:
    """The same for bonds that are shorter or longer than they may be, and to the nearest such length; pure.

    A frame whose bonds are all within their limits stays as it is.

    Args:
      frame: [..., N, 3].
      limits: the shortest and the longest length of the bonds of each group [bonds of the group, 2].
      groups: of :func:`bond_groups`.
      sweeps: passes over all bonds.

    Returns:
      [..., N, 3]; float64 from numpy input.
    """
    (xp, _, _), frame = linalg.backend_of(frame)
    both = [xp.asarray(limit, frame.dtype) for limit in limits]
    return _swept(frame, groups, [(each[:, :1], each[:, 1:]) for each in both], sweeps)


def limit_steps(frame: Array, last: Array, longest: Array) -> Array:
    """Shortens the steps of points that are longer than they may be; pure and exactly equivariant.

    Args:
      frame: [..., 3].
      last: the frame before [..., 3].
      longest: length of a step [...].

    Returns:
      [..., 3]; float64 from numpy input.
    """
    (xp, _, _), frame = linalg.backend_of(frame)
    last, longest = xp.asarray(last, frame.dtype), xp.asarray(longest, frame.dtype)
    step = frame - last
    square = (step**2).sum(axis=-1, keepdims=True)
    far = square > longest[..., None] ** 2
    size = xp.sqrt(xp.where(far, square, 1.0))
    return xp.where(far, last + step * (longest[..., None] / size), frame)


def _swept(
    frame: Array,
    groups: Sequence[Array],
    limits: Sequence[tuple[Array, Array]],
    sweeps: int,
) -> Array:
    """The ends of bonds moved until their lengths are within limits, [..., bonds of the group, 1] each."""
    xp = linalg.backend_of(frame)[0].xp

    def sweep(x: Array) -> Array:
        for group, (shortest, longest) in zip(groups, limits, strict=True):
            first, second = group[:, 0], group[:, 1]
            difference = x[..., first, :] - x[..., second, :]
            square = (difference**2).sum(axis=-1, keepdims=True)
            # The inner where keeps the branch that is not taken finite, and so its gradient.
            size = xp.sqrt(xp.where(square > 0, square, 1.0))
            length = xp.clip(size, shortest, longest)
            change = xp.where(square > 0, length / size - 1, 0.0) * difference / 2
            if xp is np:
                x = x.copy()
                x[..., first, :] += change
                x[..., second, :] -= change
            else:
                x = x.at[..., first, :].add(change).at[..., second, :].add(-change)
        return x

    if xp is np:
        for _ in range(sweeps):
            frame = sweep(frame)
        return frame
    return jax.lax.scan(lambda x, _: (sweep(x), None), frame, length=sweeps)[0]


def _squares(x: Array, group: Array) -> Array:
    """Squared lengths of bonds [..., bonds, 1]."""
    difference = x[..., group[:, 0], :] - x[..., group[:, 1], :]
    return (difference**2).sum(axis=-1, keepdims=True)
