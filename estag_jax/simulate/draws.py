"""Systems drawn at random: their constants, once for all runs, and the start of each run.

All draws are numpy's, so that they depend on the seed alone and not on JAX's settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from estag_jax.simulate import systems
from estag_jax.simulate.integrate import State, integrate

SPRING_SHARE = 0.5
"""Chance of a spring between two particles, besides those that hold the system together (NRI)."""

TRAP = 0.3
"""κ of the harmonic pull of charges to their common centre."""

CHARGE_SOFTENING = 0.2
MASS_SOFTENING = 0.1
"""ε of Newton's law, as CHARGE_SOFTENING of Coulomb's."""

ESCAPED = 5.0
"""Distance from the common centre at which one of three bodies counts as escaped."""


BATCHES = 20
"""Starts that are tried for one run that is wanted, before the search for useful ones ends."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A system with its constants, and how its runs begin.

    Args:
      system: how it moves.
      features: what tells the nodes apart [nodes, F]; nodes are the particles, after the anchor if
        there is one.
      start: draws the state in which a run begins.
      about: the system and its constants, for people.
      starts: how starts are drawn, for people.
      caveat: what a forecaster must know of the system, for people.
      bonds: pairs of nodes that are joined, integers [bonds, 2], or None.
      anchored: the origin is a node too, the first.
      settle: time before a run begins.
      keep: from positions [R, frames, N, 3] to which runs are of use [R], or None for all. Runs that
        are not finite are kept, to be found out.
      left_out: those that are not, for people.
      vectors: external vectors by name.
    """

    system: systems.System
    features: np.ndarray
    start: Callable[[np.random.Generator], State]
    about: str
    starts: str
    caveat: str = ""
    bonds: np.ndarray | None = None
    anchored: bool = False
    settle: float = 0.0
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    left_out: str = ""
    vectors: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)


def springs(num: int, generator: np.random.Generator, rest_length: float = 0.0) -> Drawn:
    """Particles of mass 1 joined by springs of stiffness 1, all of them in one piece.

    Args:
      num: particles.
      generator: of the constants.
      rest_length: of every spring.
    """
    i, j = np.triu_indices(num, 1)
    # One spring to an earlier particle each, or a particle without any would drift away.
    tree = {(int(generator.integers(k)), k) for k in range(1, num)}
    joined = generator.random(len(i)) < SPRING_SHARE
    joined |= np.array([pair in tree for pair in zip(i, j, strict=True)], bool)
    pairs = np.stack([i[joined], j[joined]], axis=1)
    masses = np.ones(num)
    return Drawn(
        system=systems.springs(pairs, masses, 1.0, rest_length),
        features=np.ones((num, 1)),
        start=lambda random: _gaussian(masses, random),
        about=f"{len(pairs)} springs of stiffness 1 and rest length {rest_length:g} between masses of 1, "
        f"a random tree and {SPRING_SHARE:.0%} of the other pairs",
        starts="positions and velocities normal with deviations 1 and 0.5, without total momentum",
        caveat="rest length 0, as in NRI, makes the motion linear: a linear autoregression over enough "
        "frames is exact; rest_length 1 is harder"
        if not rest_length
        else "",
        bonds=pairs,
    )


def charged(num: int, generator: np.random.Generator) -> Drawn:
    """Particles of mass 1 with charges of ±1, as many of one sign as of the other, or one more.

    Args:
      num: particles.
      generator: of the constants.
    """
    charges = generator.permutation(np.resize([1.0, -1.0], num))
    masses = np.ones(num)
    return Drawn(
        system=systems.charged(charges, masses, CHARGE_SOFTENING, TRAP),
        features=charges[:, None],
        start=lambda random: _gaussian(masses, random),
        about=f"charges of ±1 and mass 1, Coulomb's law softened by {CHARGE_SOFTENING}, confined by a "
        f"weak harmonic pull of {TRAP} to their common centre",
        starts="positions and velocities normal with deviations 1 and 0.5, without total momentum",
    )


def pendulum(num: int, generator: np.random.Generator) -> Drawn:
    """A chain of bobs of 1 kg on rigid rods of 1 m; nodes are the anchor and the bobs.

    Args:
      num: bobs.
      generator: not used: nothing is random but the starts.
    """

    def start(random):
        rods = random.normal(size=(num, 3))
        rods /= np.linalg.norm(rods, axis=-1, keepdims=True)
        return np.cumsum(rods, axis=0), np.zeros((num, 3))

    nodes = np.arange(num + 1)
    return Drawn(
        system=systems.pendulum(np.ones(num), np.ones(num)),
        features=np.stack([nodes > 0, nodes == 0], axis=1).astype(float),
        start=start,
        about=f"bobs of 1 kg on a chain of rigid massless rods of 1 m in three dimensions, "
        f"g = {systems.STANDARD_GRAVITY} m/s² along -z",
        starts="at rest, each rod in a random direction",
        caveat="gravity singles out the vertical: the motion is equivariant to rotations about it and "
        "not to others",
        bonds=np.stack([nodes[:-1], nodes[1:]], axis=1),
        anchored=True,
        vectors={"up": (0.0, 0.0, 1.0)},
    )


def lorenz(num: int, generator: np.random.Generator, coupling: float = 0.0) -> Drawn:
    """Lorenz's oscillators at σ = 10, ρ = 28, β = 8/3, each started on the attractor.

    Args:
      num: oscillators.
      generator: not used: nothing is random but the starts.
      coupling: of the pull of each to the mean of all.
    """
    return Drawn(
        system=systems.lorenz(coupling),
        features=np.ones((num, 1)),
        start=lambda random: (random.normal(scale=8, size=(num, 3)) + [0, 0, 25],),
        about=f"Lorenz's oscillators at σ = 10, ρ = 28, β = 8/3, diffusive coupling {coupling:g}",
        starts="random points, from which 20 time units lead to the attractor before a run begins",
        caveat="Lorenz's equations are not equivariant to rotations, nor to translations",
        settle=20.0,
    )


def threebody(num: int, generator: np.random.Generator) -> Drawn:
    """Three bodies of 0.5 to 1.5 that attract one another, bound and far from regular.

    Args:
      num: bodies.
      generator: of the masses.
    """
    masses = generator.uniform(0.5, 1.5, num)
    i, j = np.triu_indices(num, 1)

    def start(random):
        while True:
            positions, velocities = _gaussian(masses, random)
            distances = np.linalg.norm(positions[i] - positions[j], axis=-1)
            if 1 < distances.min() and distances.max() < 3:
                break
        potential = np.sum(masses[i] * masses[j] / np.sqrt(distances**2 + MASS_SOFTENING**2))
        kinetic = np.sum(masses[:, None] * velocities**2) / 2
        return positions, velocities * np.sqrt(potential / 4 / kinetic)

    return Drawn(
        system=systems.gravitating(masses, MASS_SOFTENING),
        features=masses[:, None],
        start=start,
        about=f"three masses of 0.5 to 1.5, gravity with G = 1 softened by {MASS_SOFTENING}",
        starts="1 to 3 apart, without total momentum, velocities scaled to a kinetic energy of a quarter "
        "of the potential's size",
        keep=lambda positions: ~(np.linalg.norm(positions, axis=-1).max(axis=(1, 2)) >= ESCAPED),
        left_out=f"in which a body came {ESCAPED:g} or more from the common centre during the run",
    )


def simulate(
    drawn: Drawn, seed: int, dt: float, substeps: int, runs: int, frames: int
) -> tuple[State, int]:
    """The first runs that are of use, from starts that are drawn one after another.

    Args:
      drawn: the system.
      seed: start i is drawn from the seed and i.
      dt: time of one step.
      substeps: steps from one frame to the next.
      runs: how many are wanted; at most ``BATCHES`` times as many are tried.
      frames: of each run.

    Returns:
      States, arrays [R, frames, N, 3] with R = runs or fewer, and the number of starts it took.
    """
    step, kept, useful = drawn.system.step, [], np.zeros(0, bool)
    while useful.sum() < runs and len(useful) < BATCHES * runs:
        numbers = range(len(useful), len(useful) + runs)
        starts = [drawn.start(np.random.default_rng((seed, 1, number))) for number in numbers]
        states = tuple(np.stack(leaves) for leaves in zip(*starts, strict=True))
        if drawn.settle:
            settled = integrate(step, states, dt, max(1, round(drawn.settle / dt)), 2)
            states = tuple(leaf[:, 1] for leaf in settled)
        states = integrate(step, states, dt, substeps, frames)
        good = drawn.keep(states[0]) if drawn.keep else np.ones(runs, bool)
        kept.append(tuple(leaf[good] for leaf in states))
        useful = np.concatenate([useful, good])
    found = np.flatnonzero(useful)
    tried = found[runs - 1] + 1 if len(found) >= runs else len(useful)
    return tuple(np.concatenate(leaves)[:runs] for leaves in zip(*kept, strict=True)), int(tried)


def _gaussian(masses: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities [N, 3], their centre at rest in the origin."""
    positions = random.normal(size=(len(masses), 3))
    velocities = random.normal(scale=0.5, size=(len(masses), 3))
    weights = (masses / masses.sum())[:, None]
    return (
        positions - np.sum(weights * positions, axis=0),
        velocities - np.sum(weights * velocities, axis=0),
    )
