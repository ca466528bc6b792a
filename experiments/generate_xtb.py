"""Makes the bundled trajectory: aspirin at 500 K by GFN2-xTB, in MD17's file format (R, z, E).

    .venv/bin/pip install -e '.[xtb]'
    .venv/bin/python experiments/generate_xtb.py --out aspirin_xtb.npz

Simulated data in the manner of MD17 (which is DFT); never report a figure on it as MD17. ASE
integrates, tblite gives energies and forces. About 0.15 s a step, 1 hour in all on one core.
The same seed, package versions and processor family give the same frames; molecular dynamics is
chaotic, so a difference in the last bit of one force grows until, after some hundred femtoseconds,
the frames differ (their statistics do not). One thread keeps sums in one order.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import ase
import numpy as np
import tyro
from ase import units
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.optimize import BFGS
from rich.progress import Progress
from tblite.ase import TBLite

# A rough geometry in MD17's order of atoms, relaxed before the dynamics start.
ASPIRIN = """
C 3.3 0.7 -0.1
C 2.2 -0.0 0.5
O 1.8 -0.3 1.5
O 1.3 -0.2 -0.5
C 0.0 -0.5 -0.1
C -0.2 -1.8 0.1
C -1.5 -2.3 0.4
C -2.6 -1.3 0.4
C -2.3 -0.1 0.1
C -1.0 0.4 -0.1
C -0.8 1.8 -0.3
O 0.3 2.3 -0.3
O -1.9 2.5 -0.8
H 3.5 0.0 -1.0
H 4.3 0.8 0.5
H 2.9 1.6 -0.2
H 0.7 -2.5 0.2
H -1.8 -3.3 0.6
H -3.6 -1.6 0.5
H -3.1 0.6 -0.2
H -1.5 3.4 -1.1
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """Aspirin by GFN2-xTB molecular dynamics."""

    out: Path = Path("aspirin_xtb.npz")
    """The npz file to write."""
    frames: int = 20_000
    """Consecutive frames to keep."""
    equilibration: int = 2_000
    """Steps before the first kept frame."""
    temperature: float = 500.0
    """Kelvin."""
    step: float = 0.5
    """Femtoseconds."""
    damping: float = 50.0
    """Time constant of the Nosé–Hoover chain, femtoseconds."""
    seed: int = 0
    """Seed of the starting velocities."""


def simulate(config: Config) -> dict[str, np.ndarray]:
    """Runs the dynamics and returns R [frames, atoms, 3] Å, z [atoms], E [frames] eV."""
    lines = [line.split() for line in ASPIRIN.split("\n") if line]
    atoms = ase.Atoms([line[0] for line in lines], np.array([line[1:] for line in lines], float))
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)

    generator = np.random.default_rng(config.seed)
    thermalize_momenta(atoms, config.temperature, exact_temperature=False, rng=generator)
    Stationary(atoms)
    ZeroRotation(atoms)
    dynamics = NoseHooverChainNVT(
        atoms,
        timestep=config.step * units.fs,
        temperature_K=config.temperature,
        tdamp=config.damping * units.fs,
    )
    positions = np.empty((config.frames, len(atoms), 3), np.float32)
    energies = np.empty(config.frames)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("simulating", total=config.equilibration + config.frames)
        for i in range(-config.equilibration, config.frames):
            dynamics.run(1)
            progress.advance(task)
            if i >= 0:
                positions[i], energies[i] = atoms.positions, atoms.get_potential_energy()
    return {"R": positions, "z": atoms.numbers, "E": energies}


def main(config: Config) -> None:
    """Simulates and writes the file under a temporary name first."""
    arrays = simulate(config)
    partial = config.out.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(config.out)
    print(f"{config.out}: {config.frames} frames, {config.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(tyro.cli(Config))
