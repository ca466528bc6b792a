"""Settings of the simulations and the molecules of MD17, apart from what computes with them."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from estag_jax.config import check

Thermostat = Literal["nose-hoover", "langevin", "none"]


class Known(NamedTuple):
    """A molecule by name: its formula in Hill's order, and a SMILES."""

    formula: str
    smiles: str


MOLECULES = {
    "aspirin": Known("C9H8O4", "CC(=O)Oc1ccccc1C(=O)O"),
    "benzene": Known("C6H6", "c1ccccc1"),
    "ethanol": Known("C2H6O", "CCO"),
    "malonaldehyde": Known("C3H4O2", "O=CCC=O"),
    "naphthalene": Known("C10H8", "c1ccc2ccccc2c1"),
    "salicylic": Known("C7H6O3", "OC(=O)c1ccccc1O"),
    "toluene": Known("C7H8", "Cc1ccccc1"),
    "uracil": Known("C4H4N2O2", "O=c1cc[nH]c(=O)[nH]1"),
}
"""The eight molecules of MD17 in the published protocol."""


@dataclasses.dataclass(frozen=True)
class XtbConfig:
    """How a molecule is simulated.

    Args:
      frames: frames to keep.
      equilibration: steps before the first kept frame.
      temperature: K; of the starting velocities and of the thermostat. Without a thermostat, about
        half of it stays, since the start is the relaxed structure.
      thermostat: "nose-hoover" (a chain of three), "langevin" (centre of mass held) or "none"
        (velocity Verlet at constant energy).
      damping: time constant of the thermostat, fs.
      step: time step of the integrator, fs.
      every: keep every n-th step.
      seed: of the first geometry, the starting velocities and Langevin's noise.
      charge: of the molecule, in elementary charges.

    Raises:
      ValueError: a value is out of its range.
    """

    frames: int = 20_000
    equilibration: int = 2_000
    temperature: float = 500.0
    thermostat: Thermostat = "nose-hoover"
    damping: float = 50.0
    step: float = 0.5
    every: int = 1
    seed: int = 0
    charge: int = 0

    def __post_init__(self):
        lengths = ("temperature", "damping", "step")
        check(self, "xtb", frames=1, every=1, equilibration=0, positive=lengths, seed_bits=31)

    @property
    def steps(self) -> int:
        return self.equilibration + self.frames * self.every


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """How a system is drawn and integrated; None takes the system's own value.

    Args:
      particles: particles, bobs or oscillators, the hidden ones among them.
      hidden: the last so many particles act on the others but are not returned.
      runs: independent initial conditions.
      frames: frames of each run.
      frame_step: time between frames, in the system's unit.
      substeps: steps of the integrator from one frame to the next.
      seed: of the system and of the starts; run i does not depend on the number of runs.
      rest_length: of the springs (springs only); 0 as in NRI makes the motion linear.
      coupling: strength of the pull of each oscillator to the mean of all (lorenz only).
      float64: keep positions in float64; models compute in float32.

    Raises:
      ValueError: a value is out of its range.
    """

    particles: int | None = None
    hidden: int = 0
    runs: int = 32
    frames: int = 400
    frame_step: float | None = None
    substeps: int | None = None
    seed: int = 0
    rest_length: float | None = None
    coupling: float | None = None
    float64: bool = False

    def __post_init__(self):
        sizes: dict[str, float] = dict.fromkeys(("particles", "runs", "frames", "substeps"), 1)
        sizes |= dict.fromkeys(("hidden", "rest_length", "coupling"), 0)
        check(self, "synthetic", positive=("frame_step",), seed_bits=32, **sizes)
