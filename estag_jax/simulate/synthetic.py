"""Systems integrated on the spot: springs, charges, a pendulum, Lorenz's oscillators, three bodies.

One system is drawn from the seed, its masses, charges and springs once for all; its runs are
independent starts. The equations are in ``systems``, in float64 and mostly symplectic.
Chaotic runs differ between processor families after some Lyapunov times, their statistics do not.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from estag_jax.data.system import DataError
from estag_jax.data.trajectory import Trajectory
from estag_jax.io import did_you_mean
from estag_jax.simulate import draws
from estag_jax.simulate.draws import Drawn
from estag_jax.simulate.integrate import State, energy_drift, frame_error
from estag_jax.simulate.lyapunov import largest_exponent
from estag_jax.simulate.settings import SyntheticConfig

MAX_ERROR = 0.01
"""Of the energy over a run's largest kinetic energy; for Lorenz, of a frame over their deviation."""

SYNCHRONY = 0.9056
"""Coupling that damps differences as fast as Lorenz's equations, at exponent 0.9056, make them grow."""

LYAPUNOV_RUNS = 8
"""Runs over which the largest Lyapunov exponent is measured."""


DEFAULT = SyntheticConfig()


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What a system is by default; ``lyapunov`` is the time over which its exponent is measured.

    ``options`` are those that no other system has.
    """

    particles: int
    frame_step: float
    substeps: int
    time_unit: str = "time unit"
    length_unit: str = "unit"
    lyapunov: float | None = None
    least: int = 2
    options: dict[str, float] = dataclasses.field(default_factory=dict)


_KINDS = {
    "springs": _Kind(5, frame_step=0.1, substeps=10, options={"rest_length": 0.0}),
    "charged": _Kind(5, frame_step=0.1, substeps=10, lyapunov=100),
    "pendulum": _Kind(2, 0.05, 10, "s", "m", lyapunov=100, least=1),
    "lorenz": _Kind(3, 0.05, 10, lyapunov=200, least=1, options={"coupling": 0.3}),
    "threebody": _Kind(3, frame_step=0.1, substeps=20, lyapunov=40),
}


def read(name: str, config: SyntheticConfig = DEFAULT) -> Trajectory:
    """Draws a system and integrates it from many starts.

    Args:
      name: "springs", "charged", "pendulum", "lorenz" or "threebody".
      config: how it is drawn and integrated.

    Returns:
      Positions [runs · frames, N, 1, 3] of the particles that are not hidden (and of the anchor, for
      the pendulum), float32 unless ``config.float64``. The notes hold the energy error and, for
      chaotic systems, the measured Lyapunov time.

    Raises:
      DataError: there is no such system, an option does not suit it, or the integration is too coarse.
    """
    source, kind, config = _resolve(name, config)
    drawn = _draw(name, config)
    states, tried = _simulate(source, drawn, config, config.runs, config.frames)
    notes = _notes(config, drawn, tried)
    notes += [_accuracy(source, drawn, config, states), *_chaos(name, kind, config)]
    positions = states[0]
    if drawn.anchored:
        positions = np.concatenate([np.zeros_like(positions[:, :, :1]), positions], axis=2)
    nodes = positions.shape[2] - config.hidden
    bonds = drawn.bonds
    bonds = None if bonds is None else bonds[(bonds < nodes).all(axis=1)]
    positions = positions[:, :, :nodes].reshape(-1, nodes, 3)
    return Trajectory.from_arrays(
        positions=positions.astype(np.float64 if config.float64 else np.float32),
        node_features=drawn.features[:nodes].astype(np.float32),
        names=tuple("anchor" if drawn.anchored and not i else str(i) for i in range(nodes)),
        frame_step=config.frame_step,
        time_unit=kind.time_unit,
        length_unit=kind.length_unit,
        bonds=bonds,
        vectors=drawn.vectors,
        lengths=(config.frames,) * config.runs,
        run_names=tuple(f"start {i}" for i in range(config.runs)),
        source=source,
        provenance=f"simulated by estag_jax.simulate: {drawn.about}; {config.particles} particles, seed "
        f"{config.seed}, {config.substeps} steps of {config.frame_step / config.substeps:.6g} a frame",
        licence="computed on the spot; no terms are attached",
        notes=tuple(notes),
    )


def exponents(name: str, config: SyntheticConfig = DEFAULT) -> np.ndarray:
    """Largest Lyapunov exponents of a chaotic system, one for each of ``LYAPUNOV_RUNS`` runs.

    They are measured over a time of the system's own, whatever ``config.runs`` and ``config.frames``
    are, the first half of which lets the difference turn to the direction that grows fastest.

    Args:
      name: "charged", "pendulum", "lorenz" or "threebody".
      config: how it is drawn and integrated.

    Returns:
      [LYAPUNOV_RUNS], in one over the system's unit of time.

    Raises:
      DataError: as ``read``, or the system is springs.
    """
    source, kind, config = _resolve(name, config)
    if kind.lyapunov is None:
        raise DataError(f"{source}: its exponent is not measured; ask for a chaotic system")
    drawn = _draw(name, config)
    frames = max(1, round(kind.lyapunov / config.frame_step))
    # Only where some starts are of no use must they be followed to the end to find out.
    states, _ = _simulate(source, drawn, config, LYAPUNOV_RUNS, frames if drawn.keep else 1)
    starts, steps = tuple(leaf[:, 0] for leaf in states), max(2, frames * config.substeps)
    dt = config.frame_step / config.substeps
    return largest_exponent(drawn.system.step, starts, steps, dt, transient=steps // 2)


def _resolve(name: str, config: SyntheticConfig) -> tuple[str, _Kind, SyntheticConfig]:
    """The system by its name, with a config all of whose values are given."""
    if name not in _KINDS:
        known = f"known are {', '.join(_KINDS)}{did_you_mean(name, _KINDS)}"
        raise DataError(f"synthetic:{name}: there is no such system; {known}")
    source, kind = f"synthetic:{name}", _KINDS[name]
    for option, owner in ((o, owner) for owner, other in _KINDS.items() for o in other.options):
        if getattr(config, option) is not None and name != owner:
            raise DataError(f"{source}: {option} has no effect, it is for {owner}; leave it out")
    own = {key: getattr(kind, key) for key in ("particles", "frame_step", "substeps")}
    own |= kind.options
    given = {key: getattr(config, key) for key in own if getattr(config, key) is not None}
    config = dataclasses.replace(config, **own | given)
    if config.particles < kind.least or (name == "threebody" and config.particles != 3):
        must = "must be 3" if name == "threebody" else f"must be at least {kind.least}"
        raise DataError(f"{source}: particles is {config.particles}, it {must}")
    if config.hidden and config.particles - config.hidden < kind.least:
        raise DataError(
            f"{source}: {config.hidden} of {config.particles} particles are hidden, at least "
            f"{kind.least} must stay visible; lower hidden or raise particles"
        )
    if config.hidden and name == "lorenz" and not config.coupling:
        raise DataError(f"{source}: hidden has no effect with coupling 0; raise coupling")
    if name == "lorenz" and config.coupling >= SYNCHRONY and config.particles > 1:
        raise DataError(
            f"{source}: coupling is {config.coupling:g}, from {SYNCHRONY} on (the largest Lyapunov "
            f"exponent) the oscillators become one and the same; lower it"
        )
    return source, kind, config


def _draw(name: str, config: SyntheticConfig) -> Drawn:
    generator = np.random.default_rng((config.seed, 0))
    options = {option: getattr(config, option) for option in _KINDS[name].options}
    return getattr(draws, name)(config.particles, generator, **options)


def _simulate(
    source: str, drawn: Drawn, config: SyntheticConfig, runs: int, frames: int
) -> tuple[State, int]:
    """States [runs, frames, N, 3], all finite, and how many starts that took."""
    dt = config.frame_step / config.substeps
    states, tried = draws.simulate(drawn, config.seed, dt, config.substeps, runs, frames)
    bad = np.argwhere(~np.logical_and.reduce([np.isfinite(x).all(axis=(2, 3)) for x in states]))
    if len(bad):
        raise DataError(
            f"{source}: run {bad[0, 0]} is no longer finite at frame {bad[0, 1]}; {_remedy(config)}"
        )
    if len(states[0]) < runs:
        raise DataError(
            f"{source}: of {tried} starts {len(states[0])} are of use over {frames} frames of "
            f"{config.frame_step:g}, {runs} are wanted (left out are those {drawn.left_out}); lower "
            f"frames or frame_step"
        )
    return states, tried


def _accuracy(source: str, drawn: Drawn, config: SyntheticConfig, states: State) -> str:
    """How exact the integration was, as a note; too coarse a one is refused."""
    system = drawn.system
    if system.energies:
        errors = energy_drift(system.energies, states)
        what = "drift of the energy over a run's largest kinetic energy"
    else:
        dt = config.frame_step / config.substeps
        errors = frame_error(system.step, states, dt, config.substeps)
        what = "difference of a frame to one from half the time step, over the standard deviation"
    worst = int(errors.argmax())
    if errors[worst] > MAX_ERROR:
        raise DataError(
            f"{source}: the integration is too coarse: the {what} is {errors[worst]:.2g} in run {worst}, "
            f"at most {MAX_ERROR:g} is accepted; {_remedy(config)}"
        )
    return f"largest {what}, of {config.runs} runs: {errors[worst]:.1e}"


def _remedy(config: SyntheticConfig) -> str:
    return f"raise substeps ({config.substeps}) or lower frame_step ({config.frame_step:g})"


def _notes(config: SyntheticConfig, drawn: Drawn, tried: int) -> list[str]:
    """What was left out, and what a model must know of the system."""
    notes = [f"starts: {drawn.starts}"]
    if drawn.keep:
        notes.append(f"{tried - config.runs} of {tried} starts left out, {drawn.left_out}")
    if config.hidden:
        notes.append(
            f"the last {config.hidden} of {config.particles} particles are hidden: they act on the "
            f"others and are not returned"
        )
    if drawn.caveat:
        notes.append(drawn.caveat)
    notes.append(f"integrated in float64{'' if config.float64 else ', kept in float32'}")
    return notes


def _chaos(name: str, kind: _Kind, config: SyntheticConfig) -> list[str]:
    """The measured Lyapunov time, as a note."""
    if kind.lyapunov is None:
        return []
    rates = exponents(name, config)
    unit = "s" if kind.time_unit == "s" else "time units"
    measured = (
        f"largest exponent {rates.mean():.3f} ± {rates.std(ddof=1):.3f} in 1 / {unit}, mean and standard "
        f"deviation over {LYAPUNOV_RUNS} runs of {kind.lyapunov:g} {unit}, the second half of each"
    )
    # Regular motion, where differences grow like t, gives 2 ln 2 = 1.4 over the time.
    if rates.mean() < 5 / kind.lyapunov:
        return [f"no chaos found, Lyapunov time unknown: {measured}"]
    return [f"Lyapunov time {1 / rates.mean():.3g} {unit}: {measured}"]
