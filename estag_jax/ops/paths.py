"""Vectors of a node that turn with the system: its past along bonds, without names or frames.

Every feature is a vector summed over bond paths i-j-k-l-q, in which no node occurs twice. Rotations and
reflections turn it, translations leave it, and renaming nodes renames it: a sum of features with scalar
weights is an exactly equivariant step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from estag_jax.graph import Array
from estag_jax.ops.frames import backward_differences
from estag_jax.ops.linalg import Backend

Kind = Literal["own", "bonds", "far", "factors", "products"]
"""Of features: the node's own differences, those of bonds up to two bonds away with lengths and places,
of bonds further away, any of these times ρ or μ, and products of two differences."""

SQUARED, DAMPED = 3, 4
"""Orders of the differences in products of two differences, and of a difference and a stretch."""

SOFTENING = 1e-6
"""Added to the square of a normal's length: it fades to zero where bonds are collinear."""


class Paths(NamedTuple):
    """The bond paths that begin at each node, by number; -1 fills a table up.

    Args:
      one: j, bonded to i [N, K1, 1].
      two: j, k of the paths i-j-k [N, K2, 2].
      three: j, k, l [N, K3, 3].
      four: j, k, l, q [N, K4, 4].
      fork: j and another neighbour k of i [N, K5, 2].
      bent: j, k of i-j-k and another neighbour l of i [N, K6, 3].
      centre: the node whose plane is that of i [N].
      around: the neighbours of the centre [N, 3]; three for a plane through them, two for one through
        these and the centre, none where there is no plane.
      mass: of the node with the hydrogens that it hides, centred and scaled [N].
    """

    one: Array
    two: Array
    three: Array
    four: Array
    fork: Array
    bent: Array
    centre: Array
    around: Array
    mass: Array


class Scales(NamedTuple):
    """What features are measured in.

    Args:
      differences: s, of the differences of order 1 … T-1 [T-1].
      bond: the mean length of a bond.
      angle: the mean distance of two nodes with a common neighbour.
      spread: of bonds.
    """

    differences: Array
    bond: Array
    angle: Array
    spread: Array


def path_features(
    backend: Backend, history: Array, paths: Paths, scales: Scales
) -> Iterator[tuple[Kind, Array]]:
    """The features of every node, group by group.

    With d^m_ab = (D_m x_b - D_m x_a) / s_m, u_ab the unit vector at the last frame, a, b, c, e those along
    a path, n the normals of planes, ρ the mean length of a bond in the window and μ the mass of a node,
    the groups are p (q·d) and d for the bonds of a path, p and q being vectors of the path, some also
    times ρ or μ; lengths and places at the last frame; and products of two differences. docs/methods.md
    lists them.

    Args:
      backend: what arrays are computed with.
      history: [B, N, T, 3].
      paths: of the system.
      scales: units.

    Yields:
      The kind of the features, and the features [B, N, features, 3].
    """
    xp, einsum, matmul = backend
    nodes, batch = history.shape[1], history.shape[0]
    x, here = history[:, :, -1], np.arange(nodes)[:, None]
    own = backward_differences(xp, history[..., None, :])[:, :, 1:, 0] / scales.differences[:, None]

    def unit(vector):
        square = xp.sum(vector * vector, -1, keepdims=True)
        return vector / xp.sqrt(xp.where(square > 0, square, 1.0))

    def length(vector):
        square = xp.sum(vector * vector, -1)
        return xp.where(square > 0, xp.sqrt(xp.where(square > 0, square, 1.0)), 0.0)

    def mean_length(start, end):
        return xp.mean(length(history[:, end] - history[:, start]), -1)

    def stretched(start, end):
        """ρ of bonds [B, N, K]."""
        return (mean_length(start, end) - scales.bond) / scales.spread

    def over_paths(weights, left):
        """Σ_k w_k left_k: [B, N, K, F] and [B, N, K, 3] -> [B, N, F, 3]."""
        return matmul(xp.swapaxes(weights, -1, -2), left)

    def times(weights, values):
        """Every weight times every value: [B, N, K, w], [B, N, K, m] -> [B, N, K, w * m]."""
        return (weights[..., :, None] * values[..., None, :]).reshape(*values.shape[:3], -1)

    def along(weights, left, right, d):
        """Σ_k w_k left_k (right_k·d_k) for every order [B, N, w * m, 3]."""
        return over_paths(times(weights, einsum("bnkc,bnkmc->bnkm", right, d)), left)

    def plain(weights, d):
        """Σ_k w_k d_k for every order [B, N, w * m, 3]."""
        summed = einsum("bnkw,bnkmc->bnwmc", weights, d)
        return summed.reshape(batch, nodes, -1, 3)

    def flat(vectors):
        """The part along the node's own normal [B, N, F, 3]."""
        return normal[:, :, None] * einsum("bnc,bnfc->bnf", normal, vectors)[..., None]

    def split(features, kind="bonds"):
        """The features without a factor, and those with one."""
        orders = own.shape[2]
        yield kind, features[:, :, :orders]
        if features.shape[2] > orders:
            yield "factors", features[:, :, orders:]

    def table(ends):
        """The nodes of the paths, -1 replaced by a node that exists, and which paths there are."""
        there = xp.asarray(ends[..., 0] >= 0, x.dtype)[None, ..., None]
        ends = xp.where(ends >= 0, ends, 0)
        return there, *(ends[..., step] for step in range(ends.shape[-1]))

    def weighted(there, *factors):
        """The weights 1 and each factor, zero where there is no path [B, N, K, 1 + factors]."""
        ones = xp.ones((batch, *there.shape[1:3]), x.dtype)
        return there * xp.stack([ones, *(xp.broadcast_to(f, ones.shape) for f in factors)], -1)

    around = xp.where(paths.around >= 0, paths.around, 0)
    u = unit(x[:, around] - x[:, paths.centre][:, :, None])
    second, third = (xp.asarray(paths.around[:, n] >= 0, x.dtype)[:, None] for n in (1, 2))
    through = third * xp.cross(u[:, :, 1] - u[:, :, 0], u[:, :, 2] - u[:, :, 0])
    through = through + (second - third) * xp.cross(u[:, :, 0], u[:, :, 1])
    normal = through / xp.sqrt(xp.sum(through**2, -1, keepdims=True) + SOFTENING)
    mass = xp.asarray(paths.mass, x.dtype)

    def vectors(start, end):
        return x[:, end] - x[:, start]

    def moved(start, end):
        return own[:, end] - own[:, start]

    def products(there, start, end):
        """Features of degree two of pairs of nodes, each summed over the pairs of a node."""
        v = vectors(start, end)
        a, d = there * unit(v), moved(start, end)[..., :DAMPED, :]
        along_a = einsum("bnkc,bnkmc->bnkm", unit(v), d)
        across = there[..., None] * (d - unit(v)[..., None, :] * along_a[..., None])
        stretch = ((length(v) - mean_length(start, end)) / scales.spread)[..., None]
        low, high = np.triu_indices(min(SQUARED, d.shape[-2]))
        squared = xp.sum(across[..., low, :] * across[..., high, :], -1)
        radial = along_a[..., low] * along_a[..., high]
        weights = xp.concatenate([stretch**2, squared, radial, stretch * along_a], -1)
        yield "products", over_paths(weights, a)
        turned = einsum(
            "bnkmc,bnkq->bnmqc", across[..., :SQUARED, :], along_a[..., :SQUARED]
        ).reshape(batch, nodes, -1, 3)
        yield "products", turned
        yield "products", einsum("bnk,bnkmc->bnmc", stretch[..., 0], across)

    # The node's own differences.
    there, j = table(paths.one)
    a, rho, d = unit(vectors(here, j)), stretched(here, j), moved(here, j)
    bonded = weighted(there, rho, mass[j])
    factors = xp.sum(bonded, 2)[:, :, 1:, None, None]

    def mapped(weights, left, right):
        """Σ_k w_k left_k (right_k·v) [B, N, w * m, 3]."""
        outer = einsum("bnkw,bnkc,bnke->bnwce", weights, left, right)
        found = einsum("bnwce,bnme->bnwmc", outer, own)
        return found.reshape(batch, nodes, -1, 3)

    along_bonds, in_plane = mapped(bonded, a, a), flat(own)
    yield "own", own
    yield from split(along_bonds, "own")
    yield "own", in_plane
    for one in (own, in_plane):
        yield "factors", (factors * one[:, :, None]).reshape(batch, nodes, -1, 3)
    fork, j2, k2 = table(paths.fork)
    two, j3, k3 = table(paths.two)
    b3 = unit(vectors(j3, k3))
    further = mapped(weighted(two), b3, b3)
    crossed = mapped(weighted(fork), unit(vectors(here, j2)), unit(vectors(here, k2)))
    yield "own", further
    yield "own", crossed
    for one in (own, along_bonds[:, :, : own.shape[2]], in_plane, further, crossed):
        yield "factors", mass[:, None, None] * one

    # One bond.
    for one in (stretches := plain(bonded, d), along(bonded, a, a, d), flat(stretches)):
        yield from split(one)
    yield from split(along(bonded, normal[:, j], normal[:, j], d))
    for there, p, q, j in ((fork, here, k2, j2), (two, j3, k3, j3)):
        other, a, d = unit(vectors(p, q)), unit(vectors(here, j)), moved(here, j)
        weights = weighted(there, stretched(here, j), mass[j])
        yield from split(along(weights, other, a, d))
        yield from split(along(weights[..., :2], a, other, d))
        yield from split(along(weights[..., :2], other, other, d))

    # Two bonds.
    a, b, d = unit(vectors(here, j3)), b3, moved(j3, k3)
    weights = weighted(two, stretched(j3, k3))
    yield from split(stretches := plain(weights, d))
    yield from split(flat(stretches))
    for left, right in ((a, a), (b, b), (a, b), (b, a)):
        yield from split(along(weights, left, right, d))
    there, j, k, l = table(paths.bent)  # noqa: E741
    weights = weighted(there, stretched(j, k))
    yield from split(along(weights, unit(vectors(here, l)), unit(vectors(j, k)), moved(j, k)))

    # Three and four bonds.
    three, j, k, l = table(paths.three)  # noqa: E741
    a, b, c, d = (*(unit(vectors(*ends)) for ends in ((here, j), (j, k), (k, l))), moved(k, l))
    yield "far", (stretches := plain(weighted(three), d))
    yield "far", flat(stretches)
    for left in (a, b, c):
        yield "far", along(weighted(three), left, c, d)
    far = xp.sum(three * vectors(here, l), 2, keepdims=True)
    there, j, k, l, q = table(paths.four)  # noqa: E741
    d = moved(l, q)
    yield "far", (stretches := plain(weighted(there), d))
    yield "far", flat(stretches)
    yield "far", along(weighted(there), unit(vectors(here, j)), unit(vectors(l, q)), d)

    # Lengths and places at the last frame.
    there, j = table(paths.one)
    v = vectors(here, j)
    long = (length(v) - scales.bond) / scales.spread
    yield "bonds", over_paths(there * xp.stack([rho**0, rho, long, long * rho], -1), unit(v))
    v3 = vectors(here, k3)
    long = (length(v3) - scales.angle) / scales.spread
    yield "bonds", over_paths(two * xp.stack([long**0, long], -1), unit(v3))
    yield "bonds", over_paths(weighted(two), b3)
    near = [xp.sum(mask * each, 2, keepdims=True) for mask, each in ((there, v), (two, v3))]
    yield "bonds", flat(xp.concatenate([*near, far], 2)) / scales.spread

    # Products of two differences.
    yield from products(there, here, j)
    yield from products(two, here, k3)
